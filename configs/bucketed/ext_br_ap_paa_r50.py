_base_ = ["../rank_sort/rs_paa_r50.py"]
# delta 0.5: the official head passes its own, Rank & Sort's, to AP Loss too.
model = dict(
    bbox_head=dict(
        type="RankedPAAHead",
        loss_step=dict(type="WeightedApStep"),
        loss_cls=dict(_delete_=True, type="ApLoss", use_sigmoid=True, delta=0.5),
        loss_bbox=dict(loss_weight=1.0),
    )
)
