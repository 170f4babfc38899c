_base_ = ["../rank_sort/rs_mask_r101_3x.py"]
train_pipeline = _base_.train_pipeline
train_pipeline[2] = _base_.short_640_to_800
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
