"""Loss steps by their formulas: every weight, divisor and target of each, and where it acts."""

from types import SimpleNamespace

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_overlaps
from mmengine.config import ConfigDict

from rankdet.errors import InputError
from rankdet.losses import SEARCHED_CONTROL_POINTS
from rankdet.models.ap_code.training import WindowedSelfBalance
from rankdet.models.build import load_config
from rankdet.models.pools import RankedPool
from rankdet.models.steps.alrp import AlrpStep
from rankdet.models.steps.ap import ApStep, WeightedApStep
from rankdet.models.steps.parameterized_ap import ParameterizedApStep
from rankdet.models.steps.rank_sort import RankSortStep
from tests.unit.models.roi_cases import CHANNELS, box_head
from tests.unit.models.test_dense_heads import META, build, objects, predictions

C = 3
LABELS = torch.tensor([1, C, 0, 2, C, 1])
WEIGHTS = torch.tensor([1.0, 1, 1, 1, 0, 0])  # the last two are ignored, one of them is positive
POSITIVES = [0, 2, 3]
HARD = torch.tensor([[0, 1, 0], [0, 0, 0], [1, 0, 0], [0, 0, 1], [-1, -1, -1], [-1, -1, -1]])


def pool():
    """Return six places with three positives; deltas are boxes already."""
    generator = torch.Generator().manual_seed(0)
    corner = 10 * torch.rand(2, 6, 2, generator=generator)
    size = 8 + 10 * torch.rand(2, 6, 2, generator=generator)
    boxes, targets = torch.cat([corner, corner + size], 2)
    return RankedPool(
        logits=torch.randn(6, C, generator=generator).requires_grad_(),
        deltas=boxes.requires_grad_(),
        priors=torch.zeros(6, 4),
        labels=LABELS,
        label_weights=WEIGHTS,
        box_targets=targets,
        decode=lambda priors, deltas: deltas,
        targets_are_boxes=True,
    )


class Recorder:
    """A ranking loss that keeps what it was given and returns fixed values."""

    def __init__(self, *values):
        self.values = tuple(torch.tensor(value) for value in values)

    def __call__(self, *given):
        self.given = given
        return self.values if len(self.values) > 1 else self.values[0]


def pairs(given, mode):
    boxes, targets = given.deltas[POSITIVES].detach(), given.box_targets[POSITIVES]
    return bbox_overlaps(boxes, targets, mode=mode, is_aligned=True)


def weighted_mean(given, errors):
    weights = given.logits[POSITIVES].sigmoid().amax(1)
    return (weights * errors).sum() / weights.sum()


@pytest.mark.parametrize(("weight", "beta"), [(1.0, 1.0), (3.0, 0.5)])
def test_ap_and_smooth_l1(weight, beta):
    given, loss = pool(), Recorder(0.75)
    ranking, box = ApStep()(given, loss, SimpleNamespace(beta=beta, loss_weight=weight))
    assert ranking == 0.75
    assert torch.equal(loss.given[1], HARD.float().flatten())
    distance = (given.deltas[POSITIVES] - given.box_targets[POSITIVES]).abs()
    errors = torch.where(distance < beta, distance**2 / (2 * beta), distance - beta / 2)
    torch.testing.assert_close(box, weight * errors.sum() / 12)


@pytest.mark.parametrize("weight", [1.0, 2.0])
def test_ap_and_weighted_giou(weight):
    given, loss = pool(), Recorder(0.75)
    ranking, box = WeightedApStep()(given, loss, SimpleNamespace(loss_weight=weight))
    assert ranking == 0.75
    assert torch.equal(loss.given[1], HARD.float().flatten())
    torch.testing.assert_close(box, weight * weighted_mean(given, 1 - pairs(given, "giou")))


@pytest.mark.parametrize("tau", [0.5, 0.7])
def test_alrp(tau):
    given = pool()
    for measure, errors in (
        ("giou", (1 - pairs(given, "giou")) / 2 / (1 - tau)),
        ("iou", (1 - pairs(given, "iou")) / (1 - tau)),
    ):
        loss = Recorder(0.75, 0.25)
        terms = AlrpStep(tau=tau, box_measure=measure)(given, loss, None)
        assert terms == (0.75, 0.25)
        assert torch.equal(loss.given[1], HARD.float().flatten())
        torch.testing.assert_close(loss.given[2], errors)


def test_what_alrp_adds_to_areas():
    """A box of area 1 in one of area 4: the union is the enclosing box, GIoU = 1 / (4 + eps)."""
    boxes = torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[0.0, 0, 2, 2]])
    for eps in (1e-6, 0.5):
        found = AlrpStep(giou_eps=eps).box_errors(*boxes)
        torch.testing.assert_close(found, torch.tensor([1 - 1 / (4 + eps)]))


def test_rank_sort():
    given, loss = pool(), Recorder(0.75, 0.25)
    ranking, sorting, box = RankSortStep()(given, loss, None)
    assert (ranking, sorting) == (0.75, 0.25)
    targets = HARD.float()
    targets[POSITIVES, LABELS[POSITIVES]] = pairs(given, "iou")
    torch.testing.assert_close(loss.given[1], targets.flatten())
    torch.testing.assert_close(box, torch.tensor(1.0))
    # Its gradient is that of the weighted mean of 1 - GIoU, scaled to the value.
    (found,) = torch.autograd.grad(box, given.deltas)
    boxes = given.deltas[POSITIVES]
    giou = bbox_overlaps(boxes, given.box_targets[POSITIVES], mode="giou", is_aligned=True)
    mean = weighted_mean(given, 1 - giou)
    (expected,) = torch.autograd.grad(mean, given.deltas)
    torch.testing.assert_close(found, expected / mean)


def test_parameterized_ap():
    given, loss = pool(), Recorder(0.75)
    assert ParameterizedApStep()(given, loss, None) == (0.75,)
    logits, qualities, targets = loss.given
    assert torch.equal(logits, given.logits.flatten())
    assert torch.equal(targets, HARD.float().flatten())
    expected = torch.zeros(6, C)
    expected[POSITIVES, LABELS[POSITIVES]] = (pairs(given, "giou") + 1) / 2
    torch.testing.assert_close(qualities, expected.flatten())


STEPS = {
    "ApStep": (dict(type="ApLoss"), dict(type="SmoothL1Loss")),
    "AlrpStep": (dict(type="AlrpLoss"), dict(type="GIoULoss")),
    "RankSortStep": (dict(type="RankSortLoss"), dict(type="GIoULoss")),
    "ParameterizedApStep": (
        dict(type="ParameterizedApLoss", control_points=SEARCHED_CONTROL_POINTS["rpn"]),
        dict(type="GIoULoss"),
    ),
}


def rpn(step, **settings):
    ranking, box = STEPS[step]
    balance = dict(self_balance=dict(period=10)) if step == "AlrpStep" else {}
    head = build(
        type="RankedRPNHead",
        num_classes=1,
        loss_step=dict(type=step),
        loss_cls=dict(ranking, use_sigmoid=True),
        loss_bbox=box,
        **balance,
        **settings,
    )
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(0))
    return head


@pytest.mark.parametrize("step", STEPS)
def test_the_weight_of_the_rpn_is_on_all_its_terms(step):
    truth = [objects((4, 4, 40, 40)), objects((10, 20, 60, 60))]
    found = {
        weight: rpn(step, head_weight=weight).loss_by_feat(
            *predictions(classes=1), truth, [META] * 2
        )
        for weight in (1.0, 0.2)
    }
    assert all(name.startswith("loss_rpn_") for name in found[1.0])
    for name, value in found[1.0].items():
        assert value > 0
        torch.testing.assert_close(found[0.2][name], 0.2 * value)


def test_the_published_weight_of_the_rpn():
    """0.20 in aLRP Loss (section 5) and Rank & Sort Loss (section 5.2)."""
    for entry in ("alrp_mmdet_alrp_frcnn_r50_500", "rs_frcnn_r50", "rs_mask_r50", "rs_cascade_r50"):
        assert load_config(entry).model.rpn_head.head_weight == 0.20


def test_the_gradient_scale_acts_on_boxes_in_rpn_and_box_head():
    features = torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(1))
    rois = torch.randn(5, CHANNELS, 7, 7, generator=torch.Generator().manual_seed(1))

    def box(scale):
        torch.manual_seed(0)
        return MODELS.build(ConfigDict(box_head(box_gradient_scale=scale)))

    cases = (
        (lambda scale: rpn("RankSortStep", box_gradient_scale=scale), [features], "rpn_reg"),
        (box, rois, "fc_reg"),
    )
    for make, inputs, layer in cases:
        heads = [make(scale) for scale in (1.0, 4.0)]
        for head in heads:
            logits, deltas = head(inputs)
            total = sum(each.sum() for part in (logits, deltas) for each in part)
            total.backward()
        plain, scaled = ({n: p.grad for n, p in head.named_parameters()} for head in heads)
        torch.testing.assert_close(scaled[f"{layer}.weight"], 4 * plain[f"{layer}.weight"])
        other = layer.replace("reg", "cls")
        torch.testing.assert_close(scaled[f"{other}.weight"], plain[f"{other}.weight"])


def test_a_balance_belongs_to_alrp_and_to_nothing_else():
    with pytest.raises(InputError, match="RankSortStep with self_balance"):
        rpn("RankSortStep", self_balance=dict(period=10))
    with pytest.raises(InputError, match="AlrpStep with self_balance=None"):
        build(
            type="RankedRetinaHead",
            loss_step=dict(type="AlrpStep"),
            loss_cls=dict(type="AlrpLoss", use_sigmoid=True),
            loss_bbox=dict(type="GIoULoss"),
        )


@pytest.mark.parametrize(
    ("entry", "names"),
    [
        (
            "alrp_mmdet_alrp_retinanet_r50_500",
            ["weight", "classification_sum", "localization_sum", "steps"],
        ),
        ("ext_alrp_ap_r50_500", [name for name, _ in WindowedSelfBalance().named_buffers()]),
    ],
)
def test_a_head_saves_its_balance_under_the_names_of_before(entry, names):
    """Checkpoints of before loss steps existed load; a step itself saves nothing."""
    state = MODELS.build(load_config(entry).model.bbox_head).state_dict()
    assert [name for name in state if "balance" in name] == [f"self_balance.{n}" for n in names]
    assert not [name for name in state if "step." in name]
