# RetinaNet of the AP-Loss code base with AP Loss; what differs from mmdet's has a name of its own.
_base_ = ["mmdet::_base_/models/retinanet_r50_fpn.py"]
model = dict(
    type="PixelRetinaNet",
    # The network sees BGR in 0..255 around the mean.
    data_preprocessor=dict(
        mean=[102.9801, 115.9465, 122.7717], std=[1.0, 1.0, 1.0], bgr_to_rgb=False
    ),
    backbone=dict(
        type="StemBiasResNet",
        style="caffe",
        norm_cfg=dict(requires_grad=False),
        init_cfg=dict(checkpoint="models/resnet50-pytorch.pth"),
    ),
    neck=dict(
        relu_before_extra_convs=True, init_cfg=dict(type="Normal", layer="Conv2d", std=0.01)
    ),
    bbox_head=dict(
        type="PixelRetinaHead",
        loss_step=dict(type="ApStep"),
        pool_images=8,
        init_cfg=dict(
            type="Normal",
            layer="Conv2d",
            std=0.01,
            override=[
                dict(type="Normal", name="retina_cls", std=0.01, bias_prob=0.01),
                dict(type="Normal", name="retina_reg", std=0.001),
            ],
        ),
        anchor_generator=dict(type="PixelAnchorGenerator", scales_per_octave=2),
        bbox_coder=dict(type="PixelDeltaXYWHBBoxCoder", target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_cls=dict(_delete_=True, type="ApLoss", use_sigmoid=True, delta=1.0),
        loss_bbox=dict(_delete_=True, type="SmoothL1Loss", beta=1.0, loss_weight=1.0),
    ),
    train_cfg=dict(
        assigner=dict(
            _delete_=True,
            type="BestAnchorAssigner",
            pos_iou_thr=0.5,
            neg_iou_thr=0.4,
            iou_calculator=dict(type="PixelOverlaps2D"),
        )
    ),
    test_cfg=dict(
        _delete_=True,
        nms_pre=1000,
        score_thr=0.01,
        top_level_score_thr=0.0,
        nms=dict(type="nms", iou_threshold=0.5),
        max_per_img=100,
    ),
)
