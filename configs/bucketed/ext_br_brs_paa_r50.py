_base_ = ["../rank_sort/rs_paa_r50.py"]
model = dict(bbox_head=dict(loss_cls=dict(type="BucketedRankSortLoss")))
