# RetinaNet with aLRP Loss and ATSS assignment: square anchors, no centerness.
_base_ = ["retinanet_alrp.py"]
model = dict(
    bbox_head=dict(type="RankedATSSRetinaHead", anchor_generator=dict(ratios=[1.0])),
    train_cfg=dict(assigner=dict(_delete_=True, type="ATSSAssigner", topk=9)),
)
