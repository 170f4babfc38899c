# What the ranking methods of the study share: no centerness, GIoU of every positive.
_base_ = ["../control/control_atss_r50.py"]
model = dict(
    bbox_head=dict(
        type="RankedATSSHead",
        pool_images=8,
        loss_bbox=dict(_delete_=True, type="GIoULoss", reduction="none"),
    )
)
