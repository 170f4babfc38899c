_base_ = ["ext_br_rs_mask_r50_lvis.py"]
bucketed = dict(loss_cls=dict(type="BucketedRankSortLoss"))
model = dict(rpn_head=bucketed, roi_head=dict(bbox_head=bucketed))
train_dataloader = dict(num_workers=4)
