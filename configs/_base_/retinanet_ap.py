# RetinaNet with AP Loss and Smooth L1.
_base_ = ["retinanet.py"]
model = dict(
    bbox_head=dict(
        type="RankedRetinaHead",
        loss_step=dict(type="ApStep"),
        pool_images=8,
        anchor_generator=dict(scales_per_octave=2),
        bbox_coder=dict(target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_cls=dict(_delete_=True, type="ApLoss", use_sigmoid=True, delta=1.0),
        loss_bbox=dict(_delete_=True, type="SmoothL1Loss", beta=1.0, loss_weight=1.0),
    )
)
