# Unlike the row of the Rank & Sort paper: mmdet's sampling of anchors and proposals is left on, and
# the usual threshold and number of boxes stand in the test settings.
_base_ = ["../rank_sort/rs_mask_r50_lvis.py"]
model = dict(
    train_cfg=dict(
        rpn=dict(
            sampler=dict(
                _delete_=True,
                type="RandomSampler",
                num=256,
                pos_fraction=0.5,
                neg_pos_ub=-1,
                add_gt_as_proposals=False,
            )
        ),
        rcnn=dict(sampler=dict(num=512)),
    ),
    test_cfg=dict(rcnn=dict(score_thr=0.05, max_per_img=100)),
)
