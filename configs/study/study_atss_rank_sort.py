_base_ = ["../_base_/study_atss_ranked.py"]
model = dict(
    bbox_head=dict(
        loss_step=dict(type="RankSortStep"),
        loss_cls=dict(_delete_=True, type="RankSortLoss", use_sigmoid=True, delta=0.5),
    )
)
