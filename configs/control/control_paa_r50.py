_base_ = ["mmdet::paa/paa_r50_fpn_1x_coco.py", "../_base_/runtime.py"]
# mmdet 2's warm-up: mmengine's LinearLR counts to end - 1.
param_scheduler = _base_.param_scheduler
param_scheduler[0]["end"] = 501
train_dataloader = dict(batch_sampler=dict(type="GroupBatchSampler"))
