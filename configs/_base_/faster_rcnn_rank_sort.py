# Faster R-CNN with Rank & Sort Loss in both stages.
_base_ = ["faster_rcnn.py", "rank_sort_parts.py"]
model = dict(
    rpn_head=_base_.rank_sort_rpn,
    roi_head=dict(bbox_head=_base_.rank_sort_box),
    train_cfg=dict(rpn=_base_.all_anchors, rcnn=_base_.all_proposals),
    test_cfg=dict(rcnn=dict(score_thr=_base_.rank_sort_score_thr)),
)
