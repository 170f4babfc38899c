# Mask R-CNN with Rank & Sort Loss in both stages; the mask loss is balanced to it.
_base_ = ["mmdet::_base_/models/mask-rcnn_r50_fpn.py", "rank_sort_parts.py"]
model = dict(
    rpn_head=_base_.rank_sort_rpn,
    roi_head=dict(
        type="RankSortRoIHead",
        # Above 200 positives the official code mixes up the weights of the masks.
        align_mask_weights=False,
        bbox_head=_base_.rank_sort_box,
        mask_head=dict(
            type="RankSortFCNMaskHead",
            # DiceLoss adds eps to both sums of the denominator: 1e-5 together.
            loss_mask=dict(_delete_=True, type="DiceLoss", reduction="none", eps=5e-6),
        ),
        mask_positives=200,
    ),
    train_cfg=dict(
        rpn=_base_.all_anchors,
        rpn_proposal=dict(min_bbox_size=_base_.keep_flat_boxes),
        rcnn=_base_.all_proposals,
    ),
    test_cfg=dict(
        rpn=dict(min_bbox_size=_base_.keep_flat_boxes),
        rcnn=dict(score_thr=_base_.rank_sort_score_thr),
    ),
)
