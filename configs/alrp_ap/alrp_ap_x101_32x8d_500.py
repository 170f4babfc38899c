_base_ = ["alrp_ap_r101_500.py"]
model = dict(
    # torchvision trained it on RGB; the official code feeds it BGR all the same.
    data_preprocessor=dict(std=[58.395, 57.12, 57.375]),
    backbone=dict(
        type="ResNeXt",
        groups=32,
        base_width=8,
        style="pytorch",
        init_cfg=dict(checkpoint="models/resnext101_32x8d-8ba56ff5.pth"),
    ),
)
train_cfg = dict(max_epochs=100)
param_scheduler = [
    dict(type="CountedLinearLR", start_factor=1 / 3, by_epoch=False, begin=0, end=501),
    dict(type="MultiStepLR", begin=0, end=100, by_epoch=True, milestones=[75, 95], gamma=0.1),
]
