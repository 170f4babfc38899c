_base_ = ["alrp_mmdet_alrp_atss_r50_500.py"]
model = dict(
    backbone=dict(
        type="ResNeXt",
        depth=101,
        groups=64,
        base_width=4,
        init_cfg=dict(checkpoint="open-mmlab://resnext101_64x4d"),
    )
)
