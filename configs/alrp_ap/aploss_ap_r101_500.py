# Named by the paper's repository without published numbers; derived from the other rows.
_base_ = ["ext_ap_r50_500.py"]
model = dict(
    backbone=dict(
        type="ResNet",  # its release has no bias in the stem
        depth=101,
        init_cfg=dict(checkpoint="models/resnet101-pytorch.pth"),
    ),
)
