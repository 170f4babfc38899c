"""AP Loss in ATSS and PAA: no run was recorded, so the losses are computed here from the formulas.

Yavuz et al., ECCV 2024, baselines: hard labels; AP (or bucketed AP) Loss on all anchors x classes
of a pool; box loss = factor x Sum w (1 - GIoU) / Sum w with w the anchor's highest score over all
classes, detached; no balance between the two. Nothing of the package computes the expected numbers.
"""

import pytest
import torch
from benchmarks import reference_losses as plain
from mmdet.models.dense_heads import ATSSHead

from rankdet.losses import bucketed_ap_loss
from tests.unit.models.test_dense_heads import GIOU, MAX_IOU, META, C, build, objects, predictions

TRUTH = [objects((4, 4, 40, 40), (30, 2, 62, 30)), objects((10, 20, 60, 60))]
STDS = torch.tensor([0.1, 0.1, 0.2, 0.2])
COMMON = dict(stacked_convs=1, norm_cfg=dict(type="GN", num_groups=4))
ATSS = dict(assigner=dict(type="ATSSAssigner", topk=9), allowed_border=-1, pos_weight=-1)
PAA = dict(
    assigner=dict(MAX_IOU, pos_iou_thr=0.1, neg_iou_thr=0.1), allowed_border=-1, pos_weight=-1
)


def head_of(name, loss="ApLoss", delta=1.0, factor=2.0, **settings):
    candidate = dict(type="FocalLoss", use_sigmoid=True) if name == "PAA" else None
    return build(
        type=f"Ranked{name}Head",
        loss_step=dict(type="WeightedApStep"),
        reg_decoded_bbox=True,  # as in mmdet's ATSS and PAA
        loss_cls=dict(type=loss, use_sigmoid=True, delta=delta),
        loss_bbox=dict(GIOU, loss_weight=factor),
        train_cfg=PAA if name == "PAA" else ATSS,
        **(dict(loss_candidate=candidate) if candidate else {}),
        **COMMON,
        **settings,
    )


def targets_of(head, scores, boxes):
    """Return anchors, labels and target boxes (levels and images in a row), from mmdet's ATSS.

    PAA's positives follow from the predictions; how they are chosen is compared with recorded runs
    of the Rank & Sort head, which has the same ones (below).
    """
    if "PAA" in type(head).__name__:
        anchors, labels, _, wanted = head.level_targets(scores, boxes, TRUTH, [META] * 2, None)
    else:
        stock = build(
            type="ATSSHead",
            loss_cls=dict(type="FocalLoss", use_sigmoid=True),
            loss_bbox=dict(type="GIoULoss"),
            loss_centerness=dict(type="CrossEntropyLoss", use_sigmoid=True),
            train_cfg=ATSS,
            **COMMON,
        )
        assert type(stock) is ATSSHead
        sizes = [level.shape[-2:] for level in scores]
        found = stock.get_targets(*stock.get_anchors(sizes, [META] * 2, "cpu"), TRUTH, [META] * 2)
        anchors, labels, _, wanted = found[:4]
    return [
        torch.cat([level.flatten(0, 1) for level in each]) for each in (anchors, labels, wanted)
    ]


def decoded(anchors, deltas):
    """Boxes of deltas: centers move by deltas times the size, sizes by exp(deltas)."""
    deltas = deltas * STDS
    size = anchors[:, 2:] - anchors[:, :2]
    center = (anchors[:, 2:] + anchors[:, :2]) / 2 + deltas[:, :2] * size
    half = size * deltas[:, 2:].exp() / 2
    return torch.cat([center - half, center + half], 1)


def giou(a, b):
    def area(low, high):
        return (high - low).clamp(min=0).prod(1)

    inner = area(torch.max(a, b)[:, :2], torch.min(a, b)[:, 2:])
    outer = area(torch.min(a, b)[:, :2], torch.max(a, b)[:, 2:])
    union = area(a[:, :2], a[:, 2:]) + area(b[:, :2], b[:, 2:]) - inner
    return inner / union - (outer - union) / outer


def expected(head, scores, boxes, ranked, factor):
    """Return the two losses and the gradients of all logits and deltas, in float64."""
    logits = torch.cat([x.detach().permute(0, 2, 3, 1).reshape(-1, C) for x in scores]).double()
    deltas = torch.cat([x.detach().permute(0, 2, 3, 1).reshape(-1, 4) for x in boxes]).double()
    anchors, labels, wanted = targets_of(head, scores, boxes)
    positive = (labels < C).nonzero().squeeze(1)
    assert 3 <= len(positive) < len(labels) / 2
    hard = torch.zeros_like(logits)
    hard[positive, labels[positive]] = 1
    value, of_logits = ranked(logits.flatten(), hard.flatten())
    weights = logits[positive].sigmoid().max(1).values
    # Of a positive's three scores the highest is not always its own class's.
    assert (logits[positive].argmax(1) != labels[positive]).any()
    deltas.requires_grad_()
    own = anchors[positive].double()
    error = 1 - giou(decoded(own, deltas[positive]), wanted[positive].double())
    box = factor * (weights * error).sum() / weights.sum()
    (of_deltas,) = torch.autograd.grad(box, deltas)
    return value, box.detach(), of_logits.view(-1, C), of_deltas


def bucketed(logits, targets):
    return plain.bucketed_rank_loss(logits, targets, delta=1.0)


RANKED = {
    "ApLoss": {1.0: plain.ap_loss, 0.5: lambda s, t: plain.ap_loss(s, t, delta=0.5)},
    "BucketedApLoss": {1.0: bucketed},
}


@pytest.mark.parametrize(
    ("name", "loss", "delta", "factor"),
    [
        ("ATSS", "ApLoss", 1.0, 2.0),  # ext_br_ap_atss_r50: factor 2.0
        ("ATSS", "BucketedApLoss", 1.0, 2.0),
        ("ATSS", "ApLoss", 1.0, 0.75),
        ("PAA", "ApLoss", 0.5, 1.0),  # ext_br_ap_paa_r50: delta 0.5, factor 1
        ("PAA", "ApLoss", 1.0, 3.0),
    ],
)
def test_losses_and_gradients_are_those_of_the_formulas(name, loss, delta, factor):
    head = head_of(name, loss, delta, factor)
    scores, boxes = predictions()
    found = head.loss_by_feat(scores, boxes, TRUTH, [META] * 2)
    assert set(found) == {"loss_cls", "loss_bbox"}
    value, box, of_logits, of_deltas = expected(head, scores, boxes, RANKED[loss][delta], factor)
    torch.testing.assert_close(found["loss_cls"].double(), value, rtol=1e-5, atol=0)
    torch.testing.assert_close(found["loss_bbox"].double(), box, rtol=1e-5, atol=0)
    sum(found.values()).backward()
    for leaves, wanted in ((scores, of_logits), (boxes, of_deltas)):
        own = torch.cat([x.grad.permute(0, 2, 3, 1).reshape(-1, wanted.shape[1]) for x in leaves])
        close = 1e-5 * float(wanted.abs().max())
        torch.testing.assert_close(own.double(), wanted, rtol=1e-4, atol=close)


def test_paa_has_the_positives_of_the_recorded_head():
    settings = dict(COMMON, train_cfg=PAA, loss_candidate=dict(type="FocalLoss", use_sigmoid=True))
    recorded = build(
        type="RankedPAAHead",
        loss_step=dict(type="RankSortStep"),
        loss_cls=dict(type="RankSortLoss", use_sigmoid=True),
        loss_bbox=GIOU,
        **settings,
    )
    scores, boxes = predictions()
    found = [
        head.level_targets(scores, boxes, TRUTH, [META] * 2, None)
        for head in (head_of("PAA"), recorded)
    ]
    for one, other in zip(*found, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", ["ATSS", "PAA"])
def test_pools_are_ranked_apart(name):
    """Two images in pools of one: the mean of both images alone."""
    scores, boxes = predictions()
    whole = head_of(name, pool_images=1).loss_by_feat(scores, boxes, TRUTH, [META] * 2)
    parts = []
    for image in range(2):
        own = ([level[image : image + 1] for level in each] for each in (scores, boxes))
        parts.append(head_of(name).loss_by_feat(*own, TRUTH[image : image + 1], [META]))
    for key, value in whole.items():
        torch.testing.assert_close(value, (parts[0][key] + parts[1][key]) / 2)


def test_the_bucketed_loss_of_the_head_is_the_packages():
    """delta reaches it: with another one the value is another."""
    scores, boxes = predictions()
    values = []
    for delta in (1.0, 0.25):
        head = head_of("ATSS", "BucketedApLoss", delta)
        values.append(head.loss_by_feat(scores, boxes, TRUTH, [META] * 2)["loss_cls"])
        logits = torch.cat([x.permute(0, 2, 3, 1).reshape(-1, C) for x in scores])
        labels = targets_of(head, scores, boxes)[1]
        hard = torch.nn.functional.one_hot(labels, C + 1)[:, :-1]
        assert values[-1] == bucketed_ap_loss(logits.flatten(), hard.flatten(), delta=delta)
    assert values[0] != values[1]
