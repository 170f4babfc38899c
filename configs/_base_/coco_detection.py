# COCO as in mmdet 2: whole batches, each group of one orientation.
_base_ = ["mmdet::_base_/datasets/coco_detection.py"]
train_dataloader = dict(batch_sampler=dict(type="GroupBatchSampler"))
