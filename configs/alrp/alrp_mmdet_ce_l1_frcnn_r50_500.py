_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py', '../_base_/coco500.py',
    '../_base_/schedule_100e.py', '../_base_/runtime.py'
]
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', begin=0, end=100, by_epoch=True, milestones=[75, 95], gamma=0.1)
]
optim_wrapper = dict(optimizer=dict(lr=0.04))
