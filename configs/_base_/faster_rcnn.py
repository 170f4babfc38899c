# Faster R-CNN of mmdet 2: proposals that are clipped to an area of zero stay among the proposals,
# as negatives of the RoI head. mmdet 3.3 drops them unless the limit is below zero.
_base_ = ["mmdet::_base_/models/faster-rcnn_r50_fpn.py"]
model = dict(
    train_cfg=dict(rpn_proposal=dict(min_bbox_size=-1)),
    test_cfg=dict(rpn=dict(min_bbox_size=-1)),
)
