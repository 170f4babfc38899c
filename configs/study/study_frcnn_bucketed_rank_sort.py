_base_ = ["../bucketed/ext_br_brs_frcnn_r50.py"]
