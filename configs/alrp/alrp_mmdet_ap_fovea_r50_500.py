_base_ = ["alrp_mmdet_focal_fovea_r50_500.py"]
model = dict(
    bbox_head=dict(
        type="RankedFoveaHead",
        loss_step=dict(type="ApStep"),
        pool_images=8,
        loss_cls=dict(_delete_=True, type="ApLoss", use_sigmoid=True, delta=1.0),
    )
)
optim_wrapper = dict(optimizer=dict(lr=0.002))
