_base_ = ["../_base_/study_atss_ranked.py"]
model = dict(
    bbox_head=dict(
        loss_step=dict(type="WeightedApStep"),
        loss_cls=dict(_delete_=True, type="ApLoss", use_sigmoid=True, delta=1.0),
        loss_bbox=dict(loss_weight=2.0),
    )
)
