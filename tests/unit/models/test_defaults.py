"""Numbers in the heads' code that no config repeats, against the papers and specifications."""

import inspect
from importlib import import_module

import pytest
import torch

import rankdet.models  # noqa: F401 (registers the heads)
from rankdet.models.box_terms import giou_errors, giou_errors_with_added_eps, score_weighted_mean
from rankdet.models.dense_heads import candidates

# module, name -> {argument: default}; each with its source.
DEFAULTS = {
    # DETECTORS 3, 6: head_weight 0.20 on the RPN's terms.
    ("dense_heads.rpn", "HeadWeight"): dict(head_weight=0.20),
    # DETECTORS 6: "max 200 positives per GPU"; weights stay with their masks.
    ("roi_heads.standard", "RankSortRoIHead"): dict(mask_positives=200, align_mask_weights=True),
    # LOSSES 6.6: 1 where nothing was searched.
    ("gradient_scale", "ScaledBoxGradient"): dict(box_gradient_scale=1.0),
    # DETECTORS 4, APCODE "Found" 6 and 1: balance, +1 pixel, color noise, test size.
    ("ap_code.self_balance", "WindowedSelfBalance"): dict(
        initial=50.0, window=300, interval=50, entries=50, period=None, passes=1, reduce=False
    ),
    ("ap_code.terms", "WidenedAlrpTerms"): dict(box_measure="giou"),
    ("ap_code.anchors", "PixelAnchorGenerator"): dict(pixel_offset=1.0),
    ("ap_code.coder", "PixelDeltaXYWHBBoxCoder"): dict(pixel_offset=1.0),
    ("ap_code.overlaps", "PixelOverlaps2D"): dict(pixel_offset=1.0),
    ("ap_code.augmentation", "LightingNoise"): dict(std=0.1, prob=0.5),
    ("ap_code.resize", "ResizeByFactor"): dict(longest=1.666),
    # DETECTORS 6, RS-PAA: "GMM reg_covar 1e-5".
    ("dense_heads.candidates", "two_gaussians"): dict(regularisation=1e-5),
    # LOSSES 7: "add 1e-6 to union and enclosing area"; DETECTORS 0.3: "below 1e-10".
    ("box_terms", "giou_errors_with_added_eps"): dict(eps=1e-6),
    ("box_terms", "score_weighted_mean"): dict(eps=1e-10),
    ("losses", "_Registered"): dict(use_sigmoid=True),
    ("dense_heads.ranked", "RankedDenseHead"): dict(pool_images=None),
    ("roi_heads.ranked", "RankedBBoxHead"): dict(pool_images=None),
    ("dense_heads.rank_sort_protonet", "RankSortYOLACTProtonet"): dict(with_seg_branch=False),
}


@pytest.mark.parametrize("place", DEFAULTS, ids="/".join)
def test_defaults(place):
    module, name = place
    found = getattr(import_module(f"rankdet.models.{module}"), name)
    function = vars(found)["__init__"] if inspect.isclass(found) else found
    given = inspect.signature(function).parameters.values()
    assert {p.name: p.default for p in given if p.default is not p.empty} == DEFAULTS[place]


def test_localization_errors_are_divided_by_what_an_anchor_needs():
    """LOSSES 3: (1 - GIoU) / 2 / (1 - tau), tau 0.5; 0.7 in the RPN."""
    from rankdet.models.ap_code.heads import PixelAlrpRetinaHead
    from rankdet.models.dense_heads.fovea import AlrpFoveaHead
    from rankdet.models.dense_heads.retina import AlrpATSSRetinaHead, AlrpRetinaHead
    from rankdet.models.dense_heads.rpn import AlrpRPNHead

    heads = (AlrpRetinaHead, AlrpATSSRetinaHead, AlrpFoveaHead, PixelAlrpRetinaHead)
    assert [head.tau for head in heads] == [0.5] * 4
    assert AlrpRPNHead.tau == 0.7


def test_a_mixture_ends_as_scikit_learns_does():
    """Its GaussianMixture: at most 100 iterations, to a change of 1e-3 of the mean likelihood."""
    assert (candidates.ITERATIONS, candidates.CHANGE) == (100, 1e-3)


def test_weights_that_vanish_are_not_divided_by():
    """DETECTORS 0.3: a weight sum below 1e-10 is replaced by 1; 1e-10 itself is not."""
    errors = torch.tensor([0.5, 0.25], dtype=torch.float64)
    for sizes, divisor in (((2e-11, 2e-11), 1.0), ((2.0**-34, 2.0**-34), 2.0**-33)):
        weights = torch.tensor(sizes, dtype=torch.float64)
        expected = float((errors * weights).sum()) / divisor
        assert score_weighted_mean(errors, weights).item() == pytest.approx(expected, abs=0)
    exact = torch.tensor([1e-10], dtype=torch.float64)
    assert score_weighted_mean(errors[:1], exact) == 0.5


def test_the_two_conventions_of_giou():
    """LOSSES 7: max(area, 1e-6), or 1e-6 added to both areas."""
    box = torch.tensor([[0.0, 0.0, 2e-4, 2e-4]], dtype=torch.float64)  # area 4e-8
    assert giou_errors(box, box).item() == pytest.approx(1 - 0.04, abs=1e-9)
    added = 1 - 4e-8 / (4e-8 + 1e-6)
    assert giou_errors_with_added_eps(box, box).item() == pytest.approx(added, abs=1e-9)
