# 100 epochs, step at 60 and 80; linear warm-up from 1/3 that reaches 1 at step 500, counted from 0.
_base_ = ["schedule_100e.py"]
param_scheduler = [
    dict(type="CountedLinearLR", start_factor=1 / 3, by_epoch=False, begin=0, end=501),
    dict(type="MultiStepLR", begin=0, end=100, by_epoch=True, milestones=[60, 80], gamma=0.1),
]
optim_wrapper = dict(type="NonZeroOptimWrapper")
