_base_ = ["rs_mask_plus_r101_dcn_3x.py"]
model = dict(backbone=_base_.resnext101_64x4d)
