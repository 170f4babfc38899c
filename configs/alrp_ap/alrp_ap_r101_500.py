_base_ = ["ext_alrp_ap_r50_500.py"]
model = dict(
    backbone=dict(
        type="ResNet",  # its release has no bias in the stem
        depth=101,
        init_cfg=dict(checkpoint="models/resnet101-pytorch.pth"),
    ),
)
train_cfg = dict(max_epochs=160)
param_scheduler = [
    dict(type="CountedLinearLR", start_factor=1 / 3, by_epoch=False, begin=0, end=501),
    dict(type="MultiStepLR", begin=0, end=160, by_epoch=True, milestones=[90, 110, 140], gamma=0.1),
]
