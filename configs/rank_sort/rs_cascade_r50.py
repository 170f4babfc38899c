_base_ = [
    "../_base_/cascade_rcnn_rank_sort.py",
    "../_base_/coco_detection.py",
    "../_base_/schedule_1x.py",
    "mmdet::_base_/default_runtime.py",
    "../_base_/runtime.py",
]
train_dataloader = dict(batch_size=4, num_workers=4)
optim_wrapper = dict(optimizer=dict(lr=_base_.rank_sort_lr))
