# RetinaNet of mmdet 2: boxes that are clipped to an area of zero stay among the detections.
# mmdet 3.3 drops them unless the limit is below zero.
_base_ = ["mmdet::_base_/models/retinanet_r50_fpn.py"]
model = dict(test_cfg=dict(min_bbox_size=-1))
