_base_ = ["rs_frcnn_r50.py"]
model = dict(neck=_base_.carafe_neck)
