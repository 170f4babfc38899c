_base_ = [
    "../_base_/faster_rcnn.py",
    "../_base_/coco500.py",
    "../_base_/schedule_100e_75_95.py",
    "../_base_/runtime.py",
]
optim_wrapper = dict(optimizer=dict(lr=0.04))
