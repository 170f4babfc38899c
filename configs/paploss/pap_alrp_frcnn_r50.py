# The row of the aLRP tables, from the same official config.
_base_ = ["../alrp/alrp_mmdet_alrp_frcnn_r50_500.py"]
