"""The losses in the DETR families of transformers: RT-DETR, RT-DETRv2, D-FINE, Deformable DETR.

    from transformers import RTDetrForObjectDetection, Trainer
    from rankdet.adapters.transformers import use_rank_sort

    model = use_rank_sort(RTDetrForObjectDetection.from_pretrained(...))
    Trainer(model, ...).train()  # nothing else changes

The library calls ``model.loss_function``; that is what is replaced. Its matcher, its auxiliary
outputs and denoising queries, the keys of its loss dictionary, its L1 box loss and, in D-FINE, the
losses of the box distributions stay. In each output (last decoder layer, other layers, encoder,
denoising queries) the logits of all images x queries x classes are one ranking, with the matched
queries as positives:

- Rank & Sort: targets are the IoUs of the predicted boxes. L1 and 1 - GIoU, in the ratio of the
  model's config, are weighted by the score and scaled to the value of ranking + sorting.
- aLRP: 1 - GIoU is its localization error; the self-balancing weight follows the last decoder layer
  and is saved with the model. L1 stays as it is.
- AP Loss: replaces the classification loss alone.

Only the normal queries count in the main loss, also where a version of the library counts the
denoising queries there, too (transformers issue 48528).
"""

from __future__ import annotations

import types
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from rankdet.adapters._boxes import aligned_iou, giou_errors
from rankdet.adapters._packages import require
from rankdet.adapters._terms import (
    NEGATIVE,
    AlrpTerms,
    ApTerms,
    RankSortTerms,
    Terms,
    in_full,
)
from rankdet.errors import InputError

require("transformers")

from transformers.loss.loss_utils import LOSS_MAPPING  # noqa: E402 -- after the check

__all__ = ["use_alrp", "use_ap_loss", "use_rank_sort"]

Model = TypeVar("Model", bound=nn.Module)
Losses = dict[str, Tensor]
Indices = list[tuple[Tensor, Tensor]]
BoxLosses = Callable[[], Losses]


@dataclass(frozen=True)
class _Criterion:
    """A criterion of the library: its class, and its method and key of the class loss."""

    name: str
    method: str
    key: str


# By the name of the loss function in the library's mapping.
_CRITERIA = {
    "RTDetrForObjectDetectionLoss": _Criterion("RTDetrLoss", "loss_labels_vfl", "loss_vfl"),
    "DFineForObjectDetectionLoss": _Criterion("DFineLoss", "loss_labels_vfl", "loss_vfl"),
    "DeformableDetrForObjectDetectionLoss": _Criterion(
        "DeformableDetrImageLoss", "loss_labels", "loss_ce"
    ),
}


def use_rank_sort(model: Model, *, across_processes: bool = False) -> Model:
    """Train a detector with Rank & Sort Loss (Oksuz et al., ICCV 2021).

    Args:
        model: RT-DETR, RT-DETRv2, D-FINE or Deformable DETR for object detection, changed in place.
        across_processes: rank the images of all processes of torch.distributed together, see
            `rankdet.losses.GlobalPool`. The papers rank those of one process.

    Returns:
        The model.

    Raises:
        InputError: (a ValueError) for another model.
    """
    return _use(model, RankSortDetrLoss, RankSortTerms(across_processes))


def use_alrp(model: Model, *, period: int, across_processes: bool = False) -> Model:
    """Train a detector with aLRP Loss (Oksuz et al., NeurIPS 2020).

    The weight of the localization term is in the state dict: a checkpoint of the Trainer resumes
    with it, and ``from_pretrained`` of the library ignores it.

    Args:
        model: as in `use_rank_sort`.
        period: training steps per epoch; after each the self-balancing weight is set anew.
        across_processes: as in `use_rank_sort`.

    Returns:
        The model.

    Raises:
        InputError: (a ValueError) for another model, or a period that is no whole number >= 1.
    """
    return _use(model, AlrpDetrLoss, FollowingAlrpTerms(period, across_processes=across_processes))


def use_ap_loss(model: Model, *, across_processes: bool = False) -> Model:
    """Train a detector with AP Loss (Chen et al., CVPR 2019) as its classification loss.

    Args:
        model: as in `use_rank_sort`.
        across_processes: as in `use_rank_sort`.

    Returns:
        The model.

    Raises:
        InputError: (a ValueError) for another model.
    """
    return _use(model, ApDetrLoss, ApTerms(1.0, across_processes))


def _use(model: Model, loss: type[DetrLoss], terms: Terms) -> Model:
    function = LOSS_MAPPING.get(getattr(model, "loss_type", None))
    if getattr(function, "__name__", None) not in _CRITERIA:
        raise InputError(
            "an RT-DETR, RT-DETRv2, D-FINE or Deformable DETR model for object detection",
            type(model).__name__,
            "call rankdet.losses in a loss of your own: docs/use-in-your-detector.md",
        )
    own: Any = model
    own.ranking = loss(terms, function)
    own.loss_function = own.ranking.compute_loss
    return model


class FollowingAlrpTerms(AlrpTerms):
    """aLRP of several outputs: the first counts, the weight that it gives is that of all."""

    current: Tensor | None = None

    def balance_of(self, classification: Tensor, localization: Tensor) -> Tensor:
        """Return the weight of the localization term of an output."""
        if self.current is None:
            self.current = super().balance_of(classification, localization)
        return self.current


class DetrLoss(nn.Module, ABC):
    """The loss function of a model, in the place of the library's; it has no parameters.

    Args:
        terms: what turns logits and boxes into losses.
        library: the library's loss function, which is called with another criterion.
    """

    def __init__(self, terms: Terms, library: Callable[..., Any]) -> None:
        super().__init__()
        self.terms = terms
        self.library = library
        self.facts = _CRITERIA[library.__name__]
        if self.facts.name not in library.__code__.co_names:
            raise InputError(
                f"a version of transformers whose {library.__name__} uses {self.facts.name}",
                "another version",
                "install a tested version: pip install 'rankdet[transformers]'",
            )

    def compute_loss(self, *inputs: Any, denoising_meta_values: Any = None, **settings: Any) -> Any:
        """Return what the library's loss function returns, of the ranking loss.

        Args:
            *inputs: as the model passes them.
            denoising_meta_values: how the queries are divided, if there are denoising queries.
            **settings: as the model passes them.

        Returns:
            (loss, loss dictionary, auxiliary outputs).
        """
        if isinstance(self.terms, FollowingAlrpTerms):
            self.terms.current = None
        library: Any = self.library
        queries = None
        if denoising_meta_values is not None:
            queries = int(denoising_meta_values["dn_num_split"][1])
            settings["denoising_meta_values"] = denoising_meta_values
        make = library.__globals__[self.facts.name]

        def criterion(*given: Any, **named: Any) -> nn.Module:
            return self._ranked(make(*given, **named), settings_of(inputs), queries)

        # The library builds its criterion by a global name. Its function is run with ours under
        # that name, and so divides auxiliary and denoising outputs as the installed version does.
        names = {**library.__globals__, self.facts.name: criterion}
        run = types.FunctionType(library.__code__, names, None, library.__defaults__)
        return run(*inputs, **settings)

    def _ranked(self, criterion: Any, config: Any, queries: int | None) -> nn.Module:
        """Let a criterion of the library compute class and box losses here."""
        weights = weights_of(criterion, config, self.facts.key)

        def losses(
            outputs: Losses, targets: list[Losses], indices: Indices, num_boxes: float, **_: Any
        ) -> Losses:
            found = Matched.of(outputs, targets, indices)
            return self.named(
                found, lambda: criterion.loss_boxes(outputs, targets, indices, num_boxes), weights
            )

        def forward(outputs: dict[str, Any], targets: list[Losses]) -> Losses:
            if queries is not None:  # a version that has left the denoising queries in
                rest = {name: outputs[name][:, -queries:] for name in ("logits", "pred_boxes")}
                outputs = {**outputs, **rest}
            result: Losses = type(criterion).forward(criterion, outputs, targets)
            return result

        criterion.losses = [each for each in criterion.losses if each != "boxes"]
        setattr(criterion, self.facts.method, losses)
        criterion.forward = forward
        ranked: nn.Module = criterion
        return ranked

    @abstractmethod
    def named(self, found: Matched, library: BoxLosses, weights: Weights) -> Losses:
        """Return class and box losses by the library's keys, divided by the library's weights.

        Args:
            found: logits and matched boxes of one output.
            library: computes the library's own box losses of it.
            weights: what the library multiplies each with.

        Returns:
            The class loss, ``loss_bbox`` and ``loss_giou``, scalars.
        """


def settings_of(inputs: tuple[Any, ...]) -> Any:
    """Return the config among the arguments of a loss function of the library."""
    return inputs[4]


@dataclass(frozen=True)
class Weights:
    """What the library multiplies its losses with: classes, L1, GIoU."""

    classes: float
    l1: float
    giou: float

    def divided(self, loss: Tensor, weight: float) -> Tensor:
        """Return the loss that becomes ``loss`` when it is multiplied; 0 for a weight of 0."""
        return loss / weight if weight else 0 * loss


def weights_of(criterion: Any, config: Any, key: str) -> Weights:
    """Return the weights of a criterion of the library, or of the loss function around it."""
    own = getattr(criterion, "weight_dict", None)
    if own is None:
        return Weights(1.0, config.bbox_loss_coefficient, config.giou_loss_coefficient)
    return Weights(own[key], own["loss_bbox"], own["loss_giou"])


@dataclass(frozen=True)
class Matched:
    """One output of a model, flat: B images of Q queries, C classes, P matched queries.

    Attributes:
        logits: [B Q, C].
        labels: class of each query; NEGATIVE for those without an object [B Q].
        boxes: of the matched queries, in their order, center and size, with their graph [P, 4].
        truths: their ground truth [P, 4].
    """

    logits: Tensor
    labels: Tensor
    boxes: Tensor
    truths: Tensor

    @classmethod
    def of(cls, outputs: Losses, targets: list[Losses], indices: Indices) -> Matched:
        """Arrange outputs of the library and its matching of queries with objects."""
        logits, device = in_full(outputs["logits"]), outputs["logits"].device
        queries = logits.shape[1]
        places = torch.cat([queries * i + own.to(device) for i, (own, _) in enumerate(indices)])
        pairs = list(zip(targets, (each for _, each in indices), strict=True))
        classes = torch.cat([target["class_labels"][own] for target, own in pairs])
        truths = torch.cat([target["boxes"][own] for target, own in pairs])
        places, order = places.sort()
        labels = torch.full((logits.shape[0] * queries,), NEGATIVE, device=device)
        labels[places] = classes[order].to(device)
        boxes = outputs["pred_boxes"].flatten(0, 1)[places].to(logits.dtype)
        return cls(logits.flatten(0, 1), labels, boxes, truths[order].to(boxes))

    @property
    def corners(self) -> tuple[Tensor, Tensor]:
        """Boxes and ground truth as xyxy."""
        return _corners(self.boxes), _corners(self.truths)

    def l1_errors(self) -> Tensor:
        """Return the sum over the four numbers of each box [P]."""
        return (self.boxes - self.truths).abs().sum(1)


def _corners(boxes: Tensor) -> Tensor:
    half = boxes[:, 2:] / 2
    return torch.cat((boxes[:, :2] - half, boxes[:, :2] + half), 1)


class RankSortDetrLoss(DetrLoss):
    """Rank & Sort Loss; both box losses are weighted by score and scaled to its value."""

    def named(self, found: Matched, library: BoxLosses, weights: Weights) -> Losses:
        """Return the losses by name."""
        l1 = weights.l1 * found.l1_errors()
        giou = weights.giou * giou_errors(*found.corners)
        value, box = self.terms(found.logits, found.labels, aligned_iou(*found.corners), l1 + giou)
        # The printed losses are shares of the one box term; their sum is what is trained.
        l1_sum, both = l1.detach().sum(), (l1 + giou).detach().sum()
        share = torch.where(both > 0, l1_sum / both, 0.0)
        return {
            self.facts.key: weights.divided(value, weights.classes),
            "loss_bbox": weights.divided(box * share, weights.l1),
            "loss_giou": weights.divided(box * (1 - share), weights.giou),
        }


class AlrpDetrLoss(DetrLoss):
    """aLRP Loss; its localization term in the place of the GIoU loss."""

    def named(self, found: Matched, library: BoxLosses, weights: Weights) -> Losses:
        """Return the losses by name."""
        qualities, errors = aligned_iou(*found.corners), giou_errors(*found.corners)
        value, box = self.terms(found.logits, found.labels, qualities, errors)
        return {
            self.facts.key: weights.divided(value, weights.classes),
            "loss_bbox": library()["loss_bbox"],
            "loss_giou": weights.divided(box, weights.giou),
        }


class ApDetrLoss(DetrLoss):
    """AP Loss in the place of the classification loss; the box losses are the library's."""

    def named(self, found: Matched, library: BoxLosses, weights: Weights) -> Losses:
        """Return the losses by name."""
        qualities, errors = aligned_iou(*found.corners), giou_errors(*found.corners)
        value, _ = self.terms(found.logits, found.labels, qualities, errors)
        return {self.facts.key: weights.divided(value, weights.classes), **library()}
