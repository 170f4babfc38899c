_base_ = ["alrp_mmdet_alrp_atss_r50_500.py"]
model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint="torchvision://resnet101")))
