"""Numbers in the heads' code that no config repeats, against the papers and specifications."""

import inspect
from importlib import import_module

import pytest
import torch
from mmdet.registry import TASK_UTILS

import rankdet.models  # noqa: F401 (registers the heads)
from rankdet.models.boxes import giou_errors, giou_errors_with_added_eps, score_weighted_mean
from rankdet.models.build import load_config
from rankdet.models.heads import paa
from rankdet.models.steps.alrp import AlrpStep

# module, name -> {argument: default}; each with its source.
DEFAULTS = {
    # Configs of aLRP and Rank & Sort say 0.20; Parameterized AP Loss has no such factor.
    ("heads.dense", "RankedRPNHead"): dict(head_weight=1.0),
    # DETECTORS 6: "max 200 positives per GPU"; weights stay with their masks.
    ("heads.roi", "RankSortRoIHead"): dict(mask_positives=200, align_mask_weights=True),
    # DETECTORS 4, APCODE "Found" 6 and 1: balance, +1 pixel, color noise, test size.
    ("ap_code.training", "WindowedSelfBalance"): dict(
        initial=50.0, window=300, interval=50, entries=50, period=None, passes=1, reduce=False
    ),
    ("ap_code.geometry", "PixelAnchorGenerator"): dict(pixel_offset=1.0),
    ("ap_code.geometry", "PixelDeltaXYWHBBoxCoder"): dict(pixel_offset=1.0),
    ("ap_code.geometry", "PixelOverlaps2D"): dict(pixel_offset=1.0),
    ("ap_code.data", "LightingNoise"): dict(std=0.1, prob=0.5),
    ("ap_code.data", "ResizeByFactor"): dict(longest=1.666),
    # DETECTORS 6, RS-PAA: "GMM reg_covar 1e-5".
    ("heads.paa", "two_gaussians"): dict(regularization=1e-5),
    # LOSSES 7: "add 1e-6 to union and enclosing area"; DETECTORS 0.3: "below 1e-10".
    ("boxes", "giou_errors_with_added_eps"): dict(eps=1e-6),
    ("boxes", "score_weighted_mean"): dict(eps=1e-10),
    ("losses", "RegisteredLoss"): dict(use_sigmoid=True),
    # One pool, no balance; a gradient scale of 1 where nothing was searched.
    ("heads.dense", "RankedDenseHead"): dict(
        pool_images=None, self_balance=None, box_gradient_scale=1.0
    ),
    ("heads.roi", "RankedShared2FCBBoxHead"): dict(
        pool_images=None, self_balance=None, box_gradient_scale=1.0
    ),
    ("heads.solov2", "RankSortSOLOV2Head"): dict(pool_images=None, official_order=False),
    # aLRP paper: errors are 0..1 above an IoU of 0.5; mmdetection 2.0 adds 1e-6 to areas.
    ("steps.alrp", "AlrpStep"): dict(tau=0.5, box_measure="giou", giou_eps=1e-6),
    ("heads.yolact", "RankSortYOLACTProtonet"): dict(with_seg_branch=False),
}


@pytest.mark.parametrize("place", DEFAULTS, ids="/".join)
def test_defaults(place):
    module, name = place
    found = getattr(import_module(f"rankdet.models.{module}"), name)
    function = vars(found)["__init__"] if inspect.isclass(found) else found
    given = inspect.signature(function).parameters.values()
    assert {p.name: p.default for p in given if p.default is not p.empty} == DEFAULTS[place]


def test_localization_errors_are_divided_by_what_a_place_needs():
    """(1 - GIoU) / 2 / (1 - tau), tau 0.5, in the RPN 0.7; the AP-Loss code adds 1e-7 to areas."""
    expected = {
        "alrp_mmdet_alrp_retinanet_r50_500": dict(bbox_head=(0.5, 1e-6)),
        "alrp_mmdet_alrp_atss_r50_500": dict(bbox_head=(0.5, 1e-6)),
        "alrp_mmdet_alrp_fovea_r50_500": dict(bbox_head=(0.5, 1e-6)),
        "ext_alrp_ap_r50_500": dict(bbox_head=(0.5, 1e-7)),
        "alrp_mmdet_alrp_frcnn_r50_500": dict(rpn_head=(0.7, 1e-6), roi_head=(0.5, 1e-6)),
    }
    for entry, heads in expected.items():
        model = load_config(entry).model
        for name, numbers in heads.items():
            head = model.roi_head.bbox_head if name == "roi_head" else model[name]
            step = TASK_UTILS.build(head.loss_step)
            assert (type(step), step.tau, step.giou_eps) == (AlrpStep, *numbers)


def test_a_mixture_ends_as_scikit_learns_does():
    """Its GaussianMixture: at most 100 iterations, to a change of 1e-3 of the mean likelihood."""
    assert (paa.ITERATIONS, paa.CHANGE) == (100, 1e-3)


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
