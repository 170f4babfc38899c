_base_ = ["alrp_mmdet_alrp_atss_x101_64x4d_800.py"]
model = dict(
    backbone=dict(
        dcn=dict(type="DCNv2", deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, True, True, True),
    )
)
