_base_ = ["rs_mask_plus_r101_3x.py"]
model = dict(backbone=_base_.deformable)
