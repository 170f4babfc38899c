# Faster R-CNN with aLRP Loss in both stages, each with a balance of its own.
_base_ = ["faster_rcnn.py"]
alrp_loss = dict(_delete_=True, type="AlrpLoss", use_sigmoid=True, delta=1.0, eps=1e-5)
giou_loss = dict(_delete_=True, type="GIoULoss", reduction="none")
# 3665 = iterations of one epoch of COCO train at 32 images.
balance = dict(period=3665, initial=50.0)
model = dict(
    rpn_head=dict(
        type="RankedRPNHead",
        # Positive from an IoU of 0.7 on.
        loss_step=dict(type="AlrpStep", tau=0.7),
        pool_images=8,
        # Scores start at 0.01.
        init_cfg=dict(
            type="Normal",
            layer="Conv2d",
            std=0.01,
            override=dict(type="Normal", name="rpn_cls", std=0.01, bias_prob=0.01),
        ),
        bbox_coder=dict(target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_cls=alrp_loss,
        loss_bbox=giou_loss,
        head_weight=0.20,
        self_balance=balance,
    ),
    roi_head=dict(
        bbox_head=dict(
            type="RankedShared2FCBBoxHead",
            loss_step=dict(type="AlrpStep"),
            pool_images=8,
            reg_decoded_bbox=True,
            loss_cls=alrp_loss,
            loss_bbox=giou_loss,
            self_balance=balance,
        )
    ),
    # All anchors; all proposals, without the ground-truth boxes.
    train_cfg=dict(
        rpn=dict(sampler=dict(_delete_=True, type="PseudoSampler")),
        rcnn=dict(sampler=dict(_delete_=True, type="PseudoSampler")),
    ),
)
