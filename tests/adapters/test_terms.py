"""The terms that the adapters share: targets, boxes, weights; torch only."""

import pytest
import torch

from rankdet.adapters._boxes import aligned_iou, giou_errors, weighted_mean
from rankdet.adapters._terms import (
    IGNORED,
    NEGATIVE,
    AlrpTerms,
    ApTerms,
    RankSortTerms,
    ranking_targets,
)
from rankdet.losses import SelfBalance, alrp_loss, ap_loss, rank_sort_loss


def problem(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([2, NEGATIVE, 0, IGNORED, NEGATIVE, 1])
    logits = torch.randn(6, 3, generator=generator).to(dtype).requires_grad_()
    boxes = (torch.rand(3, 4, generator=generator) + torch.tensor([0, 0, 2, 2])).to(dtype)
    truths = (torch.rand(3, 4, generator=generator) + torch.tensor([0, 0, 2, 2])).to(dtype)
    return logits, labels, boxes.requires_grad_(), truths


def inputs():
    logits, labels, boxes, truths = problem()
    return logits, labels, aligned_iou(boxes, truths), giou_errors(boxes, truths)


def test_targets():
    logits, labels, _, _ = problem()
    found = ranking_targets(logits.detach(), labels, torch.tensor([0.7, 0.8, 0.9]))
    expected = torch.tensor(
        [[0, 0, 0.7], [0, 0, 0], [0.8, 0, 0], [-1, -1, -1], [0, 0, 0], [0, 0.9, 0]]
    )
    torch.testing.assert_close(found.float(), expected)


def test_boxes():
    boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 1, 1], [3, 3, 3, 3]])
    truths = torch.tensor([[0.0, 0, 2, 2], [2, 2, 3, 3], [3, 3, 3, 3]])
    torch.testing.assert_close(aligned_iou(boxes, truths), torch.tensor([1.0, 0, 0]))
    # 1 - (0 - 7/9) of squares at the corners of a square of 9; nothing at all has GIoU 0.
    torch.testing.assert_close(giou_errors(boxes, truths), torch.tensor([0, 1 + 7 / 9, 1.0]))


def test_a_box_without_width_is_drawn_apart():
    box = torch.tensor([[10.0, 10, 10, 20]], requires_grad=True)
    giou_errors(box, torch.tensor([[5.0, 5, 25, 25]])).sum().backward()
    assert box.grad[0, 0] > 0 > box.grad[0, 2]


def test_weighted_mean():
    errors = torch.tensor([1.0, 3.0], requires_grad=True)
    assert weighted_mean(errors, torch.tensor([1.0, 3.0])).item() == 2.5
    empty = weighted_mean(errors[:0], torch.ones(0))
    assert empty.item() == 0 and empty.requires_grad
    assert weighted_mean(errors, torch.zeros(2)).item() == 0


def test_rank_sort_scales_the_boxes_to_its_value():
    given = inputs()
    value, box = RankSortTerms(weight=0.2)(*given)
    targets = ranking_targets(given[0].detach(), *given[1:3])
    expected = 0.2 * sum(rank_sort_loss(given[0].flatten(), targets.flatten()))
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(box, value)


def test_ap_has_a_fixed_weight():
    given = inputs()
    value, box = ApTerms(3.0)(*given)
    targets = ranking_targets(given[0].detach(), given[1], torch.ones(3))
    torch.testing.assert_close(value, ap_loss(given[0].flatten(), targets.flatten()))
    scores = given[0].detach()[given[1] >= 0].sigmoid().amax(1)
    torch.testing.assert_close(box, 3 * (given[3] * scores).sum() / scores.sum())


@pytest.mark.parametrize("tau", [0.5, 0.7])
def test_alrp_has_the_balance(tau):
    given = inputs()
    terms, balance = AlrpTerms(2, tau), SelfBalance(2)
    targets = ranking_targets(given[0].detach(), given[1], torch.ones(3))
    flat = given[0].flatten(), targets.flatten(), given[3] / (2 * (1 - tau))
    for _ in range(3):
        value, box = terms(*given)
        expected, localization = alrp_loss(*flat)
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(box, balance.update(expected, localization) * localization)
    assert terms.balance.weight != 50


def test_alrp_counts_in_training_alone():
    terms = AlrpTerms(1).eval()
    value, box = terms(*inputs())
    assert terms.balance.weight == 50 and terms.balance.steps == 0
    assert box > value


def test_a_state_without_the_balance_leaves_it():
    model = torch.nn.ModuleDict({"layer": torch.nn.Linear(1, 1), "terms": AlrpTerms(1)})
    model["terms"](*inputs())
    weight = model["terms"].balance.weight.clone()
    plain = {key: value for key, value in model.state_dict().items() if "balance" not in key}
    model.load_state_dict(plain)  # strict
    assert weight == model["terms"].balance.weight != 50
    torn = {**plain, "terms.balance.weight": torch.tensor(1.0)}
    with pytest.raises(RuntimeError, match=r"Missing key.*terms\.balance\.steps"):
        model.load_state_dict(torn)


@pytest.mark.parametrize("terms", [RankSortTerms(), ApTerms(2.0), AlrpTerms(1)], ids=repr)
def test_nothing_positive_is_zero_with_a_graph(terms):
    logits = torch.randn(4, 3, requires_grad=True)
    boxes = torch.rand(4, 4, requires_grad=True)
    errors = giou_errors(boxes[:0], boxes.detach()[:0])
    found = terms(logits, torch.full((4,), NEGATIVE), torch.zeros(0), errors)
    assert [each.item() for each in found] == [0, 0]
    sum(found).backward()
    assert not logits.grad.any() and not boxes.grad.any()
