_base_ = ["../control/control_frcnn_r50.py"]
