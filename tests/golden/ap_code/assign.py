"""Kind ``assign``."""

from __future__ import annotations

import torch

from rankdet.models.ap_code.geometry import PixelOverlaps2D, to_pixels
from tests.golden.ap_code.cases import ANCHORS, SINGLE, Check, replays
from tests.golden.ap_code.heads import assigned, build_head, grid, ground_truth, recorded_labels


@replays("assign")
def replay_assignment(check: Check) -> None:
    """Compare labels of both assigners, the errors of boxes that stay, and best overlaps."""
    case, classes = check.case, check.case.about["num_classes"]
    for variant, name in (("ae_alrp", "iou"), ("ae_alrp_atss", "atss")):
        head = build_head(variant, classes)
        labels, weights, targets = assigned(head, case)
        found = recorded_labels(labels, weights, classes)
        check.equal(f"label_{name}", found, case.arrays[f"label_{name}"])
        encoded = targets[labels < classes]
        boxes = head.decode(None, torch.zeros_like(encoded)), head.decode(None, encoded)
        errors = head.loss_step.box_errors(*boxes) / (2 * (1 - head.loss_step.tau))
        check.close(f"e of {name}", errors, case.arrays[f"e_at_zero_deltas_{name}"], SINGLE, True)
    head = build_head("ae_alrp", classes)
    anchors = torch.cat(head.prior_generator.grid_priors(grid((case.about["image"],) * 2)))
    for image, truth in enumerate(ground_truth(case)):
        if f"gt_best_iou_{image}" in case.arrays:
            overlaps = PixelOverlaps2D()(anchors, to_pixels(truth.bboxes))
            stored = case.arrays[f"gt_best_iou_{image}"]
            check.close(f"best IoU of {image}", overlaps.amax(0), stored, ANCHORS)
            best = overlaps.max(1).indices
            check.equal(f"best object of {image}", best, case.arrays[f"anchor_best_gt_{image}"])
