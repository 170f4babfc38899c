_base_ = ["rs_frcnn_r101_dcn_3x.py"]
model = dict(neck=_base_.carafe_neck)
