# The README says ResNet-101; the config it links has deformable convolutions.
_base_ = ["../rank_sort/rs_frcnn_r101_dcn_3x.py"]
train_pipeline = _base_.train_pipeline
train_pipeline[2] = _base_.short_640_to_800
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
