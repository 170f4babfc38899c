"""Run our losses on one stored case, with the parameters a manifest names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rankdet import losses
from rankdet.losses._ranking import Ranking
from tests.golden.place import array_of, tensor_of


@dataclass
class Outputs:
    """Named values and the gradient of the logits, as float64 arrays."""

    values: dict[str, np.ndarray]
    gradient: np.ndarray


def _array(value: Tensor) -> np.ndarray:
    return array_of(value.to(torch.float64))


def _soft_targets(labels: Tensor, iou: Tensor, dtype: torch.dtype) -> Tensor:
    targets = labels.to(dtype)
    targets[labels == 1] = iou.to(dtype)
    return targets


def _ap(logits: Tensor, labels: Tensor, parameters: dict, **_: Any) -> dict[str, Tensor]:
    loss = losses.ap_loss(logits, labels, delta=parameters["delta"])
    loss.backward()
    return {"loss": loss}


def _alrp(logits, labels, parameters, reg, variant, stored, **_) -> dict[str, Tensor]:
    weight = parameters.get("head_weight", 1.0)
    # The one-class head of a two-stage detector halves 1 - GIoU over 1 - 0.7.
    divisor = parameters.get("reg_divisor", 0.6 if "rpn" in variant else 1.0)
    reg = reg.to(logits.dtype).requires_grad_()
    classification, localization = losses.alrp_loss(
        logits, labels, reg / divisor, delta=parameters["delta"], eps=parameters["eps"]
    )
    (weight * classification).backward(retain_graph=True)
    values = {"loss": weight * classification}
    if "rank" in stored:
        values["rank"] = _ranks(logits.detach(), labels, parameters["delta"])
        positives = logits.detach()[labels == 1]
        if positives.unique().numel() < positives.numel():  # tied: the stored order decides
            order = tensor_of(stored["order"].astype(np.int64)).flip(0)
            running = (reg / divisor)[order].cumsum(0)
            localization = (running / values["rank"][order]).mean()
    (grad_reg,) = torch.autograd.grad(weight * localization, reg)
    return values | {"loss_reg": weight * localization, "grad_reg": grad_reg}


def _ranks(logits: Tensor, labels: Tensor, delta: float) -> Tensor:
    """Rank of each positive in flat order [P], from the sums that the losses use."""
    positions = torch.nonzero(labels == 1).squeeze(1)
    ranking = Ranking(logits, labels, positions, delta)
    (above,) = ranking.positives_above(torch.ones_like(ranking.logits))
    ranks = torch.empty_like(above)
    ranks[ranking.order] = above + 0.5 + ranking.false_positives
    return ranks


def _rank_sort(logits, labels, parameters, iou, reg, **_) -> dict[str, Tensor]:
    targets = _soft_targets(labels, iou, logits.dtype)
    ranking, sorting = losses.rank_sort_loss(
        logits, targets, delta=parameters["delta"], eps=parameters["eps"]
    )
    (ranking + sorting).backward()
    values = {"loss_rank": ranking, "loss_sort": sorting}
    reg = reg.to(logits.dtype).requires_grad_()
    weights = logits.detach()[labels == 1].sigmoid()
    raw = (weights * reg).sum() / weights.sum().clamp(min=1e-12)
    total = (ranking + sorting).detach()
    balanced = losses.scale_to_value(raw, total)
    (grad_reg,) = torch.autograd.grad(balanced, reg)
    scale = total / raw.detach() if raw > 0 else torch.zeros_like(raw)
    return values | {
        "loss_box_raw": raw,
        "box_scale": scale,
        "loss_box": balanced,
        "grad_reg": grad_reg,
    }


def _bucketed_rank_sort(logits, labels, parameters, iou, **_) -> dict[str, Tensor]:
    targets = _soft_targets(labels, iou, logits.dtype)
    options = {k: parameters[k] for k in ("delta", "eps") if k in parameters}
    ranking, sorting = losses.bucketed_rank_sort_loss(logits, targets, **options)
    (ranking + sorting).backward()
    return {"loss_rank": ranking, "loss_sort": sorting}


def _bucketed_ap(logits, labels, parameters, **_) -> dict[str, Tensor]:
    loss = losses.bucketed_ap_loss(logits, labels, delta=parameters["delta"])
    loss.backward()
    return {"loss": loss}


def _control_points(parameters: dict) -> list[list[float]] | None:
    if parameters["loss_form"] != "searched":
        return None
    if "ctrl_points_values" in parameters:
        return parameters["ctrl_points_values"]
    name, _, rows = parameters["ctrl_points"].partition(" rows ")
    points = [list(row) for row in losses.SEARCHED_CONTROL_POINTS[name]]
    if rows:
        first, last = (int(each) for each in rows.split("-"))
        points = points[first : last + 1]
    return points


def _parameterized_ap(logits, labels, parameters, iou, **_) -> dict[str, Tensor]:
    iou = iou.to(logits.dtype).requires_grad_()
    qualities = torch.zeros_like(logits)
    qualities = qualities.index_put((torch.nonzero(labels == 1).squeeze(1),), iou)
    loss = losses.parameterized_ap_loss(
        logits,
        qualities,
        labels,
        _control_points(parameters),
        top_k=int(parameters["num_topk"]),
        form=parameters["loss_form"],
    )
    loss.backward()
    grad_iou = iou.grad if iou.grad is not None else torch.zeros_like(iou)
    return {"loss": loss, "grad_iou": grad_iou}


_RUNNERS = {
    "bucketed_rs": _bucketed_rank_sort,
    "bucketed_ap": _bucketed_ap,
    "alrp": _alrp,
    "pap": _parameterized_ap,
    "ap": _ap,
    "rs": _rank_sort,
}


def run_variant(
    variant: str,
    parameters: dict[str, Any],
    inputs: dict[str, np.ndarray],
    dtype: torch.dtype,
    stored: dict[str, np.ndarray],
) -> Outputs:
    """Values and gradients of one variant (told by the start of its name) on one case."""
    kind = next(kind for kind in _RUNNERS if variant.startswith(kind))
    tensors = {key: tensor_of(value) for key, value in inputs.items()}
    logits = tensors.pop("logits").to(dtype).requires_grad_()
    labels = tensors.pop("labels").to(torch.int64)
    values = _RUNNERS[kind](logits, labels, parameters, variant=variant, stored=stored, **tensors)
    return Outputs({k: _array(v) for k, v in values.items()}, _array(logits.grad))
