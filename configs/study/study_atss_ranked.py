# What the ranking methods of the study share: no centerness, GIoU of every positive.
_base_ = ["study_atss_focal.py"]
model = dict(
    bbox_head=dict(
        type="RankedATSSHead",
        pool_images=8,
        loss_bbox=dict(_delete_=True, type="GIoULoss", reduction="none"),
    )
)
