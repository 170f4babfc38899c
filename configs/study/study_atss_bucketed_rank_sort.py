_base_ = ["study_atss_rank_sort.py"]
model = dict(bbox_head=dict(loss_cls=dict(type="BucketedRankSortLoss")))
