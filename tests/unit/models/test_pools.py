"""Ranking pools: a large batch in pools equals as many small batches, averaged."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

import rankdet.models  # noqa: F401
from rankdet.models.build import load_config
from rankdet.models.pools import RankedPool

SIDES = (8, 4, 2, 1, 1)
HEADS = {
    "rs_atss_r50": ("RankedATSSHead", "RankSortStep"),
    "alrp_mmdet_ap_retinanet_r50_500": ("RankedRetinaHead", "ApStep"),
    "alrp_mmdet_alrp_retinanet_r50_500": ("RankedRetinaHead", "AlrpStep"),
}


def build(entry, pool_images):
    from mmdet.registry import MODELS

    model = load_config(entry).model
    head = ConfigDict(model.bbox_head)
    head.update(num_classes=3, pool_images=pool_images, train_cfg=model.train_cfg)
    return MODELS.build(head)


def batch(head, images, seed=0, empty=()):
    """Return random head outputs and ground truth of 64 x 64 images."""
    generator = torch.Generator().manual_seed(seed)
    anchors = head.num_base_priors
    scores = [torch.randn(images, anchors * 3, s, s, generator=generator) - 2 for s in SIDES]
    deltas = [0.3 * torch.randn(images, anchors * 4, s, s, generator=generator) for s in SIDES]
    truths = []
    for image in range(images):
        count = 0 if image in empty else 3
        corner = 40 * torch.rand(count, 2, generator=generator)
        size = 12 + 12 * torch.rand(count, 2, generator=generator)
        labels = torch.randint(3, (count,), generator=generator)
        truths.append(InstanceData(bboxes=torch.cat([corner, corner + size], 1), labels=labels))
    metas = [{"img_shape": (64, 64), "pad_shape": (64, 64)}] * images
    return scores, deltas, truths, metas


def losses(head, scores, deltas, truths, metas):
    leaves = [tensor.clone().requires_grad_() for tensor in (*scores, *deltas)]
    levels = len(scores)
    found = head.loss_by_feat(leaves[:levels], leaves[levels:], truths, metas)
    sum(found.values()).backward()
    return {k: v.detach() for k, v in found.items()}, [leaf.grad for leaf in leaves]


@pytest.mark.parametrize("entry", HEADS)
def test_pools_of_two_equal_the_mean_of_batches_of_two(entry):
    head = build(entry, pool_images=2)
    assert (type(head).__name__, type(head.loss_step).__name__) == HEADS[entry]
    scores, deltas, truths, metas = batch(head, 6)
    together, gradients = losses(head, scores, deltas, truths, metas)
    alone = build(entry, pool_images=None)
    parts = []
    for first in range(0, 6, 2):
        rows = slice(first, first + 2)
        part = [[level[rows] for level in levels] for levels in (scores, deltas)]
        parts.append(losses(alone, *part, truths[rows], metas[rows]))
    for name, value in together.items():
        torch.testing.assert_close(value, torch.stack([p[0][name] for p in parts]).mean())
    for level, gradient in enumerate(gradients):
        expected = torch.cat([p[1][level] for p in parts]) / 3
        torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("entry", HEADS)
def test_without_any_object_all_losses_are_zero_with_a_graph(entry):
    head = build(entry, pool_images=None)
    found, gradients = losses(head, *batch(head, 2, empty=(0, 1)))
    assert all(value == 0 for value in found.values())
    assert all(gradient is not None and (gradient == 0).all() for gradient in gradients)


@pytest.mark.parametrize("entry", HEADS)
def test_one_image_without_objects_still_ranks_its_negatives(entry):
    head = build(entry, pool_images=None)
    found, gradients = losses(head, *batch(head, 2, empty=(1,)))
    assert all(value > 0 for value in found.values())
    assert (gradients[0][1] != 0).any()


def test_box_loss_equals_rank_plus_sort():
    head = build("rs_atss_r50", pool_images=None)
    found, _ = losses(head, *batch(head, 2))
    torch.testing.assert_close(found["loss_bbox"], found["loss_rank"] + found["loss_sort"])


def test_ignored_anchors_take_no_part():
    pool = RankedPool(
        logits=torch.zeros(4, 2),
        deltas=torch.zeros(4, 4),
        priors=torch.zeros(4, 4),
        labels=torch.tensor([1, 2, 0, 2]),
        label_weights=torch.tensor([1.0, 1.0, 0.0, 0.0]),
        box_targets=torch.zeros(4, 4),
        decode=lambda priors, deltas: deltas,
        targets_are_boxes=False,
    )
    expected = torch.tensor([[0.0, 1.0], [0.0, 0.0], [-1.0, -1.0], [-1.0, -1.0]])
    torch.testing.assert_close(pool.ranking_targets(), expected)
    assert pool.positives.tolist() == [0]
