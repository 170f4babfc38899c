"""RoI heads: pools, nothing to learn from, balance of the terms, masks aligned with weights."""

from types import SimpleNamespace

import pytest
import torch
from mmdet.structures.mask import mask_target
from mmengine.config import ConfigDict

from rankdet.losses import scale_to_value
from rankdet.models.boxes import score_weighted_mean
from tests.unit.models.roi_cases import CLASSES, batch, box_head, losses, mask_parts, part, roi_head

KINDS = {
    "rank_sort": dict(box=box_head()),
    "alrp": dict(box=box_head("AlrpStep"), type="StandardRoIHead"),
    "agnostic": dict(box=box_head(reg_class_agnostic=True)),
    "mask": dict(box=box_head(), **mask_parts()),
    "cascade": dict(
        box=box_head(reg_class_agnostic=True),
        type="CascadeRoIHead",
        num_stages=3,
        stage_loss_weights=[1, 1, 1],
    ),
}


def build(kind, pool_images=None, **settings):
    told = dict(KINDS[kind], **settings)
    return roi_head(dict(told.pop("box"), pool_images=pool_images), **told)


@pytest.mark.parametrize("kind", KINDS)
def test_pools_of_two_equal_the_mean_of_batches_of_two(kind):
    data = batch(6, empty=(1, 2, 3))  # the second pool has no object at all
    together, features, parameters = losses(build(kind, pool_images=2), data)
    alone = build(kind)
    parts = [losses(alone, part(data, slice(first, first + 2))) for first in (0, 2, 4)]
    for name, value in together.items():
        torch.testing.assert_close(value, torch.stack([p[0][name] for p in parts]).mean())
    for level, gradient in enumerate(features):
        torch.testing.assert_close(gradient, torch.cat([p[1][level] for p in parts]) / 3)
    for name, gradient in parameters.items():
        expected = torch.stack([p[2][name] for p in parts]).mean(0)
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("proposals", [0, 6])
def test_without_any_object_all_losses_are_zero_with_a_graph(kind, proposals):
    head = build(kind, pool_images=2)
    found, features, parameters = losses(head, batch(3, empty=(0, 1, 2), far=proposals))
    assert found and all(value == 0 for value in found.values())
    assert all((gradient == 0).all() for gradient in features)
    # Every parameter takes part, as distributed training wants. A cascade without RoIs stops
    # after its first stage, in mmdet too.
    for name, gradient in parameters.items():
        if proposals or not name.startswith(("bbox_head.1", "bbox_head.2")):
            assert gradient is not None and (gradient == 0).all(), name


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_without_objects_still_ranks_its_negatives(kind):
    found, features, _ = losses(build(kind), batch(2, empty=(1,)))
    assert all(value > 0 for value in found.values())
    assert (features[0][1] != 0).any()


@pytest.mark.parametrize("kind", ["rank_sort", "mask"])
def test_positives_whose_boxes_all_miss_are_no_positives(kind):
    """Targets are IoUs; where all are 0 the official code stops, here nothing is learnt."""
    head = build(kind)
    regression = head.bbox_head.fc_reg
    torch.nn.init.zeros_(regression.weight)
    thirty_widths_off = torch.tensor([300.0, 300.0, 0.0, 0.0]).repeat(CLASSES)
    regression.bias.data.copy_(thirty_widths_off)
    found, features, _ = losses(head, batch(2))
    assert all(value == 0 for value in found.values())
    assert all((gradient == 0).all() for gradient in features)


@pytest.mark.parametrize("kind", ["mask", "cascade"])
def test_every_other_loss_has_the_value_of_rank_plus_sort(kind):
    found, _, _ = losses(build(kind), batch(2))
    for stage in ("s0.", "s1.", "s2.") if kind == "cascade" else ("",):
        value = found[f"{stage}loss_roi_rank"] + found[f"{stage}loss_roi_sort"]
        torch.testing.assert_close(found[f"{stage}loss_roi_bbox"], value)
    if kind == "mask":
        torch.testing.assert_close(found["loss_mask"], value)


def test_ground_truth_is_ranked_with_the_proposals_and_nothing_is_dropped():
    head = build("rank_sort")
    features, proposals, samples = batch(1, objects=3, near=8, far=6)
    seen = []
    head.bbox_head.loss_cls.register_forward_pre_hook(lambda _, given: seen.append(given))
    head.loss(features, proposals, samples)
    logits, targets = seen[0]
    assert logits.shape == ((3 * 8 + 6 + 3) * CLASSES,)
    assert (targets > 0).sum() >= 3


def test_alrp_has_its_own_balance_and_saves_it():
    head = build("alrp")
    first, _, _ = losses(head, batch(2))
    losses(head, batch(2, empty=(0, 1)))  # does not count
    losses(head, batch(2, seed=1))
    state = head.state_dict()
    assert state["bbox_head.self_balance.steps"] == 2
    losses(head, batch(2, seed=2))  # the third: the weight is set anew
    assert head.bbox_head.self_balance.weight != 50
    assert first["loss_bbox"] > first["loss_cls"]


def test_masks_keep_the_weights_of_their_own_rois():
    """With more positives than masks: the loss is that of the drawn ones, weights in place."""
    data = batch(3, near=20)
    settings = dict(mask_positives=25)
    drawn = {}

    def capture(head):
        errors, draw = head.mask_head.errors, head.draw

        def recorded(*arguments):
            drawn["errors"] = errors(*arguments).detach()
            return drawn["errors"].requires_grad_()

        def order(count, device):
            torch.manual_seed(count)
            drawn["order"] = draw(count, device)
            return drawn["order"]

        head.mask_head.errors, head.draw = recorded, order

    head = build("mask", **settings)
    capture(head)
    features, proposals, samples = part(data, slice(None))
    kept = head.bbox_loss

    def box_loss(x, sampled):
        drawn["counts"] = torch.tensor([len(each.pos_priors) for each in sampled])
        return drawn.setdefault("box", kept(x, sampled))

    head.bbox_loss = box_loss
    found = head.loss(features, proposals, samples)
    pool = drawn["box"]["ranked"].pools[0]
    images = torch.arange(len(drawn["counts"])).repeat_interleave(drawn["counts"])
    rows = drawn["order"][:25]
    rows = rows[images[rows].sort(stable=True).indices]
    mean = score_weighted_mean(drawn["errors"], pool.positive_scores[rows])
    value = found["loss_roi_rank"] + found["loss_roi_sort"]
    torch.testing.assert_close(found["loss_mask"], scale_to_value(mean, value))
    assert len(drawn["errors"]) == 25 < len(pool.positives)


def test_the_official_order_of_weights_is_another_loss():
    """The recorded official run is replayed with it (tests/golden); our default fixes it."""
    data = batch(3, near=20)
    gradients = []
    for aligned in (True, False):
        head = build("mask", mask_positives=25, align_mask_weights=aligned)
        head.draw = lambda count, device: (torch.arange(count) * 11) % count
        gradients.append(losses(head, data)[2]["mask_head.conv_logits.weight"])
    assert not torch.allclose(*gradients, rtol=1e-3)
    few = [
        losses(build("mask", align_mask_weights=aligned), data)[2]["mask_head.conv_logits.weight"]
        for aligned in (True, False)
    ]
    torch.testing.assert_close(*few)


def test_mask_errors_are_the_official_dice():
    head = build("mask").mask_head
    logits = torch.randn(5, CLASSES, 28, 28, generator=torch.Generator().manual_seed(0))
    truth = batch(1, objects=5)[2][0].gt_instances
    boxes, labels = truth.bboxes, truth.labels
    cfg = ConfigDict(mask_size=28)
    found = head.errors(logits, labels, [boxes], [torch.arange(5)], [truth], cfg)
    y = mask_target([boxes], [torch.arange(5)], [truth.masks], cfg)
    x = torch.stack([logits[i, label] for i, label in enumerate(labels)]).sigmoid()
    dice = 2 * (x * y).sum((1, 2)) / ((x * x).sum((1, 2)) + (y * y).sum((1, 2)) + 1e-5)
    torch.testing.assert_close(found, 1 - dice)


def test_scores_have_an_empty_background_column_for_mmdets_nms():
    head = build("rank_sort").bbox_head
    assert head.fc_cls.out_features == CLASSES
    scores = head.loss_cls.get_activation(torch.zeros(5, CLASSES))
    assert scores.shape == (5, CLASSES + 1)
    assert (scores[:, CLASSES] == 0).all() and (scores[:, :CLASSES] == 0.5).all()


def test_every_class_can_refine_a_box_in_the_cascade():
    """The official cascade never chooses the last class: its arg-max leaves one column out."""
    head = roi_head(
        box_head(), type="CascadeRoIHead", num_stages=2, stage_loss_weights=[1, 1]
    ).bbox_head[0]
    boxes = torch.tensor([[10.0, 10, 30, 30]])
    chosen = {}
    head.regress_by_class = lambda box, label, *rest: chosen.update(label=label) or box
    logits = torch.zeros(1, CLASSES)
    logits[0, CLASSES - 1] = 5
    sampled = SimpleNamespace(pos_is_gt=torch.zeros(0, dtype=torch.uint8))
    results = dict(
        bbox_targets=(torch.tensor([CLASSES]),),
        cls_score=logits,
        rois=torch.cat([torch.zeros(1, 1), boxes], 1),
        bbox_pred=torch.zeros(1, 4 * CLASSES),
    )
    found = head.refine_bboxes([sampled], results, [dict(img_shape=(64, 64))])
    torch.testing.assert_close(found[0].bboxes, boxes)
    assert chosen["label"].tolist() == [CLASSES - 1]
