_base_ = ["../alrp/alrp_mmdet_alrp_frcnn_r50_500.py"]
