_base_ = ["mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py", "../_base_/runtime.py"]
# mmdet 2's warm-up: mmengine's LinearLR counts to end - 1.
param_scheduler = _base_.param_scheduler
param_scheduler[0]["end"] = 501
# mmdet 2 kept proposals that are clipped to an area of zero.
model = dict(
    train_cfg=dict(rpn_proposal=dict(min_bbox_size=-1)),
    test_cfg=dict(rpn=dict(min_bbox_size=-1)),
)
train_dataloader = dict(batch_sampler=dict(type="GroupBatchSampler"))
