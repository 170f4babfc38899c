# Cascade R-CNN with Rank & Sort Loss: stages of equal weight, with the same box coder.
_base_ = ["mmdet::_base_/models/cascade-rcnn_r50_fpn.py", "rank_sort_parts.py"]
stage = dict(
    _base_.rank_sort_box,
    in_channels=256,
    fc_out_channels=1024,
    roi_feat_size=7,
    num_classes=80,
    bbox_coder=dict(
        type="DeltaXYWHBBoxCoder",
        target_means=[0.0, 0.0, 0.0, 0.0],
        target_stds=[0.1, 0.1, 0.2, 0.2],
    ),
    reg_class_agnostic=True,
    loss_cls=dict(type="RankSortLoss", use_sigmoid=True, delta=0.5),
    loss_bbox=dict(type="GIoULoss", reduction="none"),
)
stage_cfg = [
    dict(cfg, sampler=dict(cfg["sampler"], num=int(1e10))) for cfg in _base_.model.train_cfg.rcnn
]
model = dict(
    rpn_head=_base_.rank_sort_rpn,
    roi_head=dict(stage_loss_weights=[1, 1, 1], bbox_head=[stage, stage, stage]),
    train_cfg=dict(
        rpn=_base_.all_anchors,
        # 1000 as in Faster R-CNN; mmdet's own Cascade R-CNN trains on 2000.
        rpn_proposal=dict(max_per_img=1000, min_bbox_size=_base_.keep_flat_boxes),
        rcnn=stage_cfg,
    ),
    test_cfg=dict(
        rpn=dict(min_bbox_size=_base_.keep_flat_boxes),
        rcnn=dict(score_thr=_base_.rank_sort_score_thr),
    ),
)
