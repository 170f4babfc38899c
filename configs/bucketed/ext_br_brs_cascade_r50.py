_base_ = ["../rank_sort/rs_cascade_r50.py"]
stage = _base_.stage
stage["loss_cls"] = dict(type="BucketedRankSortLoss", use_sigmoid=True, delta=0.5)
model = dict(
    rpn_head=dict(loss_cls=dict(type="BucketedRankSortLoss")),
    roi_head=dict(bbox_head=[stage, stage, stage]),
)
