# Named by the paper's repository without published numbers; derived from the other rows.
_base_ = [
    "../_base_/ap_code_retinanet.py",
    "../_base_/ap_code_800.py",
    "../_base_/ap_code_schedule.py",
    "../_base_/runtime.py",
]
model = dict(
    backbone=dict(
        type="ResNet",  # its release has no bias in the stem
        depth=101,
        init_cfg=dict(checkpoint="models/resnet101-pytorch.pth"),
    ),
    bbox_head=dict(pool_images=4),
)
optim_wrapper = dict(optimizer=dict(lr=0.001))
