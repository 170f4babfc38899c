_base_ = ["../rank_sort/rs_atss_r50.py"]
model = dict(bbox_head=dict(loss_cls=dict(type="BucketedRankSortLoss")))
