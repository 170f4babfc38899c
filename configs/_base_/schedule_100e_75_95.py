# 100 epochs, step at 75 and 95.
_base_ = ["schedule_100e.py"]
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=501),
    dict(type="MultiStepLR", begin=0, end=100, by_epoch=True, milestones=[75, 95], gamma=0.1),
]
