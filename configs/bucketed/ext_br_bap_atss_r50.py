_base_ = ["ext_br_ap_atss_r50.py"]
model = dict(bbox_head=dict(loss_cls=dict(type="BucketedApLoss")))
