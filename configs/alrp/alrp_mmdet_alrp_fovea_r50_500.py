_base_ = ["alrp_mmdet_focal_fovea_r50_500.py"]
model = dict(
    bbox_head=dict(
        type="RankedFoveaHead",
        loss_step=dict(type="AlrpStep"),
        pool_images=8,
        loss_cls=dict(_delete_=True, type="AlrpLoss", use_sigmoid=True, delta=1.0, eps=1e-5),
        loss_bbox=dict(_delete_=True, type="GIoULoss", reduction="none"),
        self_balance=dict(period=3665, initial=50.0),
    )
)
optim_wrapper = dict(optimizer=dict(lr=0.008))
