_base_ = [
    "../_base_/faster_rcnn_rank_sort.py",
    "../_base_/coco_detection.py",
    "../_base_/schedule_3x.py",
    "mmdet::_base_/default_runtime.py",
    "../_base_/runtime.py",
]
model = dict(backbone=dict(_base_.resnet101, **_base_.deformable))
train_pipeline = _base_.train_pipeline
train_pipeline[2] = _base_.short_480_to_960
train_dataloader = dict(batch_size=4, num_workers=4, dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=_base_.rank_sort_lr))
