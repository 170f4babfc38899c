_base_ = [
    '../_base_/retinanet.py', '../_base_/coco500.py',
    '../_base_/schedule_100e.py', '../_base_/runtime.py'
]
model = dict(bbox_head=dict(anchor_generator=dict(scales_per_octave=2)))
optim_wrapper = dict(optimizer=dict(lr=0.016))
auto_scale_lr = dict(base_batch_size=64)
