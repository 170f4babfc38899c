_base_ = [
    "../_base_/mask_rcnn_rank_sort.py",
    "../_base_/lvis_v1.py",
    "../_base_/schedule_1x.py",
    "mmdet::_base_/default_runtime.py",
    "../_base_/runtime.py",
]
model = dict(
    roi_head=dict(bbox_head=dict(num_classes=1203), mask_head=dict(num_classes=1203)),
    # For speed: the usual 1e-4 keeps far more boxes of 1203 classes.
    test_cfg=dict(rcnn=dict(score_thr=0.60, max_per_img=300)),
)
train_dataloader = dict(batch_size=4, num_workers=1)
optim_wrapper = dict(optimizer=dict(lr=_base_.rank_sort_lr))
