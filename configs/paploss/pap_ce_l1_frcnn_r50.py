# As the row of the aLRP tables; the total batch of this one is not stated (64 is likely).
_base_ = ["../alrp/alrp_mmdet_ce_l1_frcnn_r50_500.py"]
