_base_ = ["mmdet::retinanet/retinanet_r50_fpn_1x_coco.py", "../_base_/runtime.py"]
# mmdet 2's warm-up: mmengine's LinearLR counts to end - 1.
param_scheduler = _base_.param_scheduler
param_scheduler[0]["end"] = 501
# mmdet 2 kept detections that are clipped to an area of zero.
model = dict(test_cfg=dict(min_bbox_size=-1))
train_dataloader = dict(batch_sampler=dict(type="GroupBatchSampler"))
