_base_ = ["alrp_mmdet_ce_l1_frcnn_r50_500.py"]
model = dict(
    roi_head=dict(
        bbox_head=dict(
            reg_decoded_bbox=True,
            loss_bbox=dict(_delete_=True, type="GIoULoss", loss_weight=10.0),
        )
    )
)
