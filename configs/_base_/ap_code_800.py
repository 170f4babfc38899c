# Data of the AP-Loss code base at 800 x 800, test at a short side of 800; batch 16 = 4 GPUs x 4.
_base_ = ["ap_code_500.py"]
train_pipeline = _base_.train_pipeline
train_pipeline[7] = dict(type="RandomInterpolationResize", scale=(800, 800), keep_ratio=False)
test_pipeline = _base_.test_pipeline
test_pipeline[1] = dict(type="ResizeByFactor", short_side=800, longest=1.666)
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
auto_scale_lr = dict(base_batch_size=16)
