_base_ = [
    "../_base_/retinanet_alrp.py",
    "../_base_/coco500.py",
    "../_base_/schedule_100e.py",
    "../_base_/runtime.py",
]
optim_wrapper = dict(optimizer=dict(lr=0.008))
