_base_ = [
    "mmdet::_base_/models/faster-rcnn_r50_fpn.py",
    "../_base_/coco500.py",
    "../_base_/schedule_100e_75_95.py",
    "../_base_/runtime.py",
]
optim_wrapper = dict(optimizer=dict(lr=0.04))
