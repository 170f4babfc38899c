_base_ = ["../rank_sort/rs_mask_r50.py"]
bucketed = dict(loss_cls=dict(type="BucketedRankSortLoss"))
model = dict(rpn_head=bucketed, roi_head=dict(bbox_head=bucketed))
