_base_ = ["rs_mask_r101_3x.py"]
model = dict(neck=_base_.carafe_neck)
train_pipeline = _base_.train_pipeline
train_pipeline[2] = _base_.short_480_to_960
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
