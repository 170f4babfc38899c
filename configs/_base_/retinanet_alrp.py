# RetinaNet with aLRP Loss on class and box.
_base_ = ["retinanet.py"]
model = dict(
    bbox_head=dict(
        type="RankedRetinaHead",
        loss_step=dict(type="AlrpStep"),
        pool_images=8,
        anchor_generator=dict(scales_per_octave=2),
        bbox_coder=dict(target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_cls=dict(_delete_=True, type="AlrpLoss", use_sigmoid=True, delta=1.0, eps=1e-5),
        loss_bbox=dict(_delete_=True, type="GIoULoss", reduction="none"),
        # 3665 = iterations of one epoch of COCO train at 32 images; the published setup uses this
        # number at every batch size, so at 16 images it is half an epoch.
        self_balance=dict(period=3665, initial=50.0),
    )
)
