# mmdet's 1x with the warm-up of mmdet 2: iteration i, from 0, has i / 500 of its way behind it.
# mmengine's LinearLR counts to end - 1.
_base_ = ["mmdet::_base_/schedules/schedule_1x.py"]
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=501),
    dict(type="MultiStepLR", begin=0, end=12, by_epoch=True, milestones=[8, 11], gamma=0.1),
]
