"""Dense heads: what the recorded runs do not show."""

import math

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

import rankdet.models  # noqa: F401 (registers the heads)
from rankdet.errors import InputError
from rankdet.models.build import load_config
from rankdet.models.heads.dense import RankedDenseHead

C = 3  # classes
META = dict(img_shape=(64, 64), pad_shape=(64, 64), scale_factor=(1.0, 1.0), ori_shape=(64, 64))
GIOU = dict(type="GIoULoss", reduction="none")
RANK_SORT = dict(type="RankSortLoss", use_sigmoid=True)
RANK_SORT_STEP = dict(type="RankSortStep")
ALRP = dict(type="AlrpLoss", use_sigmoid=True)
MAX_IOU = dict(type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0)
TEST = dict(
    nms_pre=1000,
    min_bbox_size=0,
    score_thr=0.05,
    nms=dict(type="nms", iou_threshold=0.5),
    max_per_img=100,
)


def build(**settings):
    settings = {
        **dict(num_classes=C, in_channels=8, feat_channels=8),
        **dict(
            anchor_generator=dict(
                type="AnchorGenerator", ratios=[1.0], scales=[4], strides=[8, 16]
            ),
            bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_stds=[0.1, 0.1, 0.2, 0.2]),
            train_cfg=dict(assigner=MAX_IOU, allowed_border=-1, pos_weight=-1),
            test_cfg=TEST,
        ),
        **settings,
    }
    return MODELS.build(ConfigDict(settings))


def alrp(**settings):
    return build(
        type="RankedRetinaHead",
        loss_step=dict(type="AlrpStep"),
        loss_cls=ALRP,
        loss_bbox=GIOU,
        self_balance=dict(period=10),
        stacked_convs=1,
        **settings,
    )


def paa(**settings):
    return build(
        type="RankedPAAHead",
        loss_step=RANK_SORT_STEP,
        loss_cls=RANK_SORT,
        loss_bbox=GIOU,
        loss_candidate=dict(type="FocalLoss", use_sigmoid=True),
        stacked_convs=1,
        norm_cfg=dict(type="GN", num_groups=4),
        train_cfg=dict(
            assigner=dict(MAX_IOU, pos_iou_thr=0.1, neg_iou_thr=0.1),
            allowed_border=-1,
            pos_weight=-1,
        ),
        **settings,
    )


def atss(**settings):
    return build(
        type="RankedATSSHead",
        loss_step=RANK_SORT_STEP,
        loss_cls=RANK_SORT,
        loss_bbox=GIOU,
        stacked_convs=1,
        norm_cfg=dict(type="GN", num_groups=4),
        train_cfg=dict(
            assigner=dict(type="ATSSAssigner", topk=9), allowed_border=-1, pos_weight=-1
        ),
        **settings,
    )


def predictions(batch=2, classes=C, seed=0):
    """Logits and deltas of levels of 8 x 8 and 4 x 4."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        [
            torch.randn(batch, width, side, side, generator=generator).requires_grad_()
            for side in (8, 4)
        ]
        for width in (classes, 4)
    )


def objects(*boxes):
    boxes = torch.tensor(boxes, dtype=torch.float32).view(-1, 4)
    return InstanceData(bboxes=boxes, labels=torch.arange(len(boxes)) % C)


def test_the_best_anchors_are_kept_with_all_their_classes():
    """Two classes of the best anchor go to NMS; mmdet's own rule would keep one pair."""
    head = alrp(test_cfg=dict(TEST, nms_pre=1))
    scores, boxes = (
        [torch.full((1, width, side, side), -9.0) for side in (8, 4)] for width in (C, 4)
    )
    for level in boxes:
        level.zero_()
    scores[0][0, :, 2, 2] = torch.tensor([3.0, 2.0, -9.0])
    scores[0][0, :, 5, 5] = torch.tensor([2.5, 1.0, -9.0])
    found = head.predict_by_feat(scores, boxes, batch_img_metas=[META])[0]
    assert found.labels.tolist() == [0, 1]
    torch.testing.assert_close(found.scores, torch.tensor([3.0, 2.0]).sigmoid())
    stock = super(RankedDenseHead, head)._predict_by_feat_single(
        *([level[0] for level in each] for each in (scores, boxes)),
        [None, None],
        head.prior_generator.grid_priors([(8, 8), (4, 4)], device="cpu"),
        META,
        head.test_cfg,
    )
    assert stock.labels.tolist() == [0]


def test_score_voting_never_sees_a_box_without_area():
    head = paa()
    scores, boxes = predictions(1)
    with torch.no_grad():
        for level in boxes:
            level[:, 0] = 60.0  # all boxes end up right of the image
        for level in scores:
            level += 3
    meta = dict(META, img_shape=(64, 40))
    found = head.predict_by_feat(scores, boxes, batch_img_metas=[meta])[0]
    assert found.bboxes.isfinite().all()


@pytest.mark.parametrize(
    ("entry", "head", "layer", "prior"),
    [
        ("alrp_mmdet_ap_retinanet_r50_500", "bbox_head", "retina_cls", 0.01),
        ("rs_atss_r50", "bbox_head", "atss_cls", 0.01),
        ("rs_frcnn_r50", "rpn_head", "rpn_cls", 0.5),
        ("alrp_mmdet_alrp_frcnn_r50_500", "rpn_head", "rpn_cls", 0.01),
        ("pap_pap_frcnn_r50", "rpn_head", "rpn_cls", 0.01),
    ],
)
def test_scores_start_at_the_official_prior(entry, head, layer, prior):
    built = MODELS.build(load_config(entry).model[head])
    built.init_weights()
    bias = getattr(built, layer).bias
    torch.testing.assert_close(bias, torch.full_like(bias, math.log(prior / (1 - prior))))


@pytest.mark.parametrize("kind", ["RankedRetinaHead", "RankedATSSHead", "RankedRPNHead"])
def test_a_loss_without_use_sigmoid_is_refused(kind):
    """mmdet would add an output for the background and predict a class that does not exist."""
    settings = dict(stacked_convs=1, loss_step=RANK_SORT_STEP, loss_cls=dict(type="RankSortLoss"))
    if kind == "RankedRPNHead":
        settings.pop("stacked_convs")
    if kind == "RankedATSSHead":
        settings |= dict(norm_cfg=None, loss_centerness=dict(type="CrossEntropyLoss"))
    with pytest.raises(InputError, match="add use_sigmoid=True"):
        build(type=kind, loss_bbox=GIOU, num_classes=1, **settings)


@pytest.mark.parametrize("make", [atss, paa])
def test_no_branch_corrects_the_scores(make):
    head = make()
    assert not [name for name, _ in head.named_parameters() if "centerness" in name]
    assert len(head([torch.zeros(1, 8, 8, 8), torch.zeros(1, 8, 4, 4)])) == 2


@pytest.mark.parametrize("make", [alrp, atss, paa])
def test_half_precision_predictions_are_ranked_in_single_precision(make):
    scores, boxes = predictions()
    truth = [objects((4, 4, 40, 40)), objects((10, 20, 60, 60))]
    found = {}
    for dtype in (torch.bfloat16, torch.float32):
        inputs = ([x.bfloat16().to(dtype) for x in each] for each in (scores, boxes))
        found[dtype] = make().loss_by_feat(*inputs, truth, [META, META])
    for name, value in found[torch.bfloat16].items():
        assert value.dtype == torch.float32
        assert value == found[torch.float32][name]


@pytest.mark.parametrize("make", [atss, paa])
def test_the_box_loss_has_the_value_of_ranking_and_sorting(make):
    truth = [objects((4, 4, 40, 40), (30, 2, 62, 30)), objects()]
    losses = make().loss_by_feat(*predictions(), truth, [META, META])
    assert float(losses["loss_rank"].detach()) > 0
    torch.testing.assert_close(losses["loss_bbox"], losses["loss_rank"] + losses["loss_sort"])


@pytest.mark.parametrize("make", [alrp, atss, paa])
def test_a_batch_of_pools_is_the_mean_of_its_pools(make):
    """One pool per image, the second without objects."""
    truth = [objects((4, 4, 40, 40), (30, 2, 62, 30)), objects()]
    scores, boxes = predictions()
    whole = make(pool_images=1).loss_by_feat(scores, boxes, truth, [META, META])
    first = make().loss_by_feat(
        *([level[:1] for level in each] for each in (scores, boxes)), truth[:1], [META]
    )
    for name, value in first.items():
        torch.testing.assert_close(whole[name], value / 2)


def test_a_step_without_objects_leaves_the_balance_alone():
    head = alrp()
    head.loss_by_feat(*predictions(), [objects(), objects()], [META, META])
    assert int(head.self_balance.steps) == 0
    head.loss_by_feat(*predictions(), [objects((4, 4, 40, 40)), objects()], [META, META])
    assert int(head.self_balance.steps) == 1


def test_ignored_regions_take_no_part():
    head = alrp(
        train_cfg=dict(assigner=dict(MAX_IOU, ignore_iof_thr=0.5), allowed_border=-1, pos_weight=-1)
    )
    scores, boxes = predictions(1)
    ignored = [InstanceData(bboxes=torch.tensor([[32.0, 0.0, 64.0, 64.0]]))]
    losses = head.loss_by_feat(scores, boxes, [objects((0, 0, 30, 30))], [META], ignored)
    losses["loss_cls"].backward()
    # Anchors of the first level are 32 wide; those centered at x = 52 lie in the region.
    assert not scores[0].grad[..., 2:6, 6].any()
    assert scores[0].grad[..., 2:6, :4].any()
