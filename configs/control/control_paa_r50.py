_base_ = ["mmdet::paa/paa_r50_fpn_1x_coco.py", "../_base_/runtime.py"]
