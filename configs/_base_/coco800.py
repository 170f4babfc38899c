# "coco800": as coco500 at 800 x 800, test at (1333, 800); batch 16 = 4 GPUs x 4.
_base_ = ["coco500.py"]
train_pipeline = _base_.train_pipeline
train_pipeline[5] = dict(type="Resize", scale=(800, 800), keep_ratio=False)
test_pipeline = _base_.test_pipeline
test_pipeline[1] = dict(type="Resize", scale=(1333, 800), keep_ratio=True)
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
auto_scale_lr = dict(base_batch_size=16)
