_base_ = [
    "../_base_/retinanet_alrp_atss.py",
    "../_base_/coco800.py",
    "../_base_/schedule_100e.py",
    "../_base_/runtime.py",
]
model = dict(
    backbone=dict(depth=101, init_cfg=dict(checkpoint="torchvision://resnet101")),
    bbox_head=dict(pool_images=4, anchor_generator=dict(scales_per_octave=3)),
)
optim_wrapper = dict(optimizer=dict(lr=0.004))
