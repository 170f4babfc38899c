# The official config stands on a file that its repository lacks. This is mmdet's Cityscapes setup
# (8 epochs of the set repeated 8 times, from a COCO model) with the rank & sort parts; the learning
# rate is that of the COCO rows scaled from 16 images to 8.
_base_ = [
    "../_base_/mask_rcnn_rank_sort.py",
    "mmdet::_base_/datasets/cityscapes_instance.py",
    "../_base_/schedule_1x.py",
    "mmdet::_base_/default_runtime.py",
    "../_base_/runtime.py",
]
model = dict(
    backbone=dict(init_cfg=None),
    rpn_head=dict(pool_images=1),
    roi_head=dict(
        bbox_head=dict(num_classes=8, pool_images=1), mask_head=dict(num_classes=8)
    ),
)
train_dataloader = dict(batch_sampler=dict(type="GroupBatchSampler"))
train_cfg = dict(max_epochs=8)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=501),
    dict(type="MultiStepLR", begin=0, end=8, by_epoch=True, milestones=[7], gamma=0.1),
]
optim_wrapper = dict(optimizer=dict(lr=_base_.rank_sort_lr / 2))
load_from = (
    "https://download.openmmlab.com/mmdetection/v2.0/mask_rcnn/mask_rcnn_r50_fpn_1x_coco/"
    "mask_rcnn_r50_fpn_1x_coco_20200205-d4b0c5d6.pth"
)
auto_scale_lr = dict(base_batch_size=8)
