"""Kind ``loss``."""

from __future__ import annotations

import numpy as np
import torch

from tests.golden.ap_code.cases import SINGLE, Check, replays
from tests.golden.ap_code.heads import (
    ENTRIES,
    assigned,
    build_head,
    ground_truth,
    metas,
    recorded_labels,
    to_levels,
)


@replays("loss")
def replay_loss(check: Check) -> None:
    """Compare labels, both losses and their gradients, for every recorded variant."""
    case = check.case
    for variant in ENTRIES:
        told = case.about["results"].get(variant)
        if told is not None:
            _replay_variant(check, variant, raises="official_float64" in told)


def _replay_variant(check: Check, variant: str, raises: bool) -> None:
    case, arrays = check.case, check.case.arrays
    head = build_head(variant, case.about["num_classes"])
    labels, weights, _ = assigned(head, case)
    found = recorded_labels(labels, weights, head.num_classes)
    check.equal(f"{variant}: labels", found, arrays["label"])
    logits = case.tensor("cls").requires_grad_()
    deltas = case.tensor("reg").requires_grad_()
    size, places = (case.about["image"],) * 2, head.num_base_priors
    levels = to_levels(logits, size, places), to_levels(deltas, size, places)
    losses = head.loss_by_feat(*levels, ground_truth(case), metas(case))
    gradients = {
        (loss, name): torch.autograd.grad(
            losses[loss], leaf, retain_graph=True, allow_unused=True, materialize_grads=True
        )[0]
        for loss in ("loss_cls", "loss_bbox")
        for name, leaf in (("cls", logits), ("reg", deltas))
    }
    if raises:
        check.notes.append(f"{variant}: the official code raises; here zeros with a graph")
        zeros = [*losses.values(), *gradients.values()]
        check.require(not any(bool(value.any()) for value in zeros), f"{variant}: zeros")
        return
    # The original reports four times the box loss and divides the gradient by four again.
    scale = 4 if variant == "o_ap" else 1
    check.close(f"{variant}: cls_loss", losses["loss_cls"], arrays[f"{variant}.cls_loss"], SINGLE)
    box = scale * losses["loss_bbox"]
    check.close(f"{variant}: box_loss", box, arrays[f"{variant}.box_loss"], SINGLE)
    stored = arrays.get(f"{variant}.grad_cls")
    if stored is None and variant == "ae_ap":
        stored = arrays["o_ap.grad_cls"]
    if stored is not None:
        ours = gradients["loss_cls", "cls"]
        check.close(f"{variant}: grad_cls", ours, stored, SINGLE, True)
    stored = np.zeros(deltas.shape)
    image, anchor = arrays[f"{variant}.grad_reg_index"].T
    stored[image, anchor] = arrays[f"{variant}.grad_reg"]
    check.close(f"{variant}: grad_reg", gradients["loss_bbox", "reg"], stored, SINGLE, True)
    for pair in (("loss_cls", "reg"), ("loss_bbox", "cls")):
        check.require(not bool(gradients[pair].any()), f"{variant}: gradient of {pair}")
