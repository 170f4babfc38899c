_base_ = ["../_base_/study_atss_ranked.py"]
model = dict(
    bbox_head=dict(
        loss_step=dict(type="AlrpStep"),
        loss_cls=dict(_delete_=True, type="AlrpLoss", use_sigmoid=True, delta=1.0, eps=1e-5),
        self_balance=dict(period=3665, initial=50.0),
    )
)
