_base_ = ["alrp_ap_r101_800.py"]
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
