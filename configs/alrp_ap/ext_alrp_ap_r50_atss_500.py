_base_ = ["ext_alrp_ap_r50_500.py"]
model = dict(
    bbox_head=dict(type="PixelATSSRetinaHead", anchor_generator=dict(ratios=[1.0])),
    train_cfg=dict(
        assigner=dict(
            _delete_=True,
            type="ATSSAssigner",
            topk=9,
            iou_calculator=dict(type="PixelOverlaps2D"),
        )
    ),
)
