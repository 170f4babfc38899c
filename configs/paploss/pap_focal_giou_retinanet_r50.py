_base_ = ["pap_focal_l1_retinanet_r50.py"]
model = dict(
    bbox_head=dict(
        reg_decoded_bbox=True,
        loss_bbox=dict(_delete_=True, type="GIoULoss", loss_weight=2.0),
    )
)
