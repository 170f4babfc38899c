"""From the outputs of a detector to its two loss terms: the part that all adapters share.

A detector gives logits of A places (anchors, points, RoIs, queries of all images) x C classes, the
class of each place, and of each positive place how well its box fits: a quality and an error. A
module here turns them into a classification and a box term.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from rankdet.adapters._boxes import weighted_mean
from rankdet.errors import InputError
from rankdet.losses import (
    GlobalPool,
    SelfBalance,
    alrp_loss,
    ap_loss,
    rank_sort_loss,
    scale_to_value,
)

NEGATIVE, IGNORED = -1, -2


def in_full(values: Tensor) -> Tensor:
    """Return outputs of a model in float32, or in float64 if they are in it."""
    return values if values.dtype == torch.float64 else values.float()


def ranking_targets(logits: Tensor, labels: Tensor, qualities: Tensor) -> Tensor:
    """Return targets [A, C] of the losses.

    Args:
        logits: [A, C].
        labels: class of each place, or NEGATIVE, or IGNORED [A].
        qualities: of the positive places, in their order [P].

    Returns:
        The quality at the class of each positive place, -1 in the rows of ignored places, else 0.
    """
    targets = torch.zeros_like(logits)
    targets.masked_fill_((labels == IGNORED)[:, None], -1.0)
    positives = (labels >= 0).nonzero().squeeze(1)
    targets[positives, labels[positives]] = qualities.to(targets.dtype)
    return targets


class Terms(nn.Module, ABC):
    """Base of the modules that turn a pool of places into (classification, box), scalars.

    Args:
        across_processes: rank the places of all processes of torch.distributed together.
        weight: factor on both terms; 0.2 in an RPN.
    """

    def __init__(self, across_processes: bool = False, weight: float = 1.0) -> None:
        super().__init__()
        self.gather = GlobalPool().gather if across_processes else _as_it_is
        self.weight = weight

    def forward(
        self, logits: Tensor, labels: Tensor, qualities: Tensor, errors: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute both terms.

        Args:
            logits: of all places, float32 or float64 [A, C].
            labels: class of each place, or NEGATIVE, or IGNORED [A].
            qualities: IoU of the predicted box of each positive place, detached [P].
            errors: of the same boxes, 1 - GIoU, with their graph [P].

        Returns:
            (classification, box), scalars; zeros with a graph if there is no positive.
        """
        classification, box = self.terms(logits, labels, qualities, errors)
        return self.weight * classification, self.weight * box

    @abstractmethod
    def terms(
        self, logits: Tensor, labels: Tensor, qualities: Tensor, errors: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return both terms without the factor; arguments as of `forward`."""

    def flat(self, logits: Tensor, labels: Tensor, qualities: Tensor) -> tuple[Tensor, Tensor]:
        """Return flat logits and targets [n] of the pool."""
        targets = ranking_targets(logits.detach(), labels, qualities)
        return self.gather(logits.flatten()), self.gather(targets.flatten())

    def box_mean(self, logits: Tensor, labels: Tensor, errors: Tensor) -> Tensor:
        """Return the mean of the errors [P], weighted by the highest score of each place."""
        scores = logits.detach()[labels >= 0].sigmoid().amax(1)
        return weighted_mean(self.gather(errors), self.gather(scores))


def _as_it_is(values: Tensor) -> Tensor:
    return values


class RankSortTerms(Terms):
    """Rank & Sort Loss (Oksuz et al., ICCV 2021, sections 3 and 4).

    Targets are the IoUs of the predicted boxes; 1 - GIoU is weighted by the highest score and
    scaled to the value of ranking + sorting. The classification term is their sum.
    """

    def terms(
        self, logits: Tensor, labels: Tensor, qualities: Tensor, errors: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return (ranking + sorting, box)."""
        ranking, sorting = rank_sort_loss(*self.flat(logits, labels, qualities))
        value = ranking + sorting
        return value, scale_to_value(self.box_mean(logits, labels, errors), value)


class ApTerms(Terms):
    """AP Loss (Chen et al., CVPR 2019) with a weighted GIoU loss (Yavuz et al., ECCV 2024).

    Args:
        box_weight: fixed factor on the box term.
        across_processes: as in `Terms`.
        weight: as in `Terms`.
    """

    def __init__(
        self, box_weight: float, across_processes: bool = False, weight: float = 1.0
    ) -> None:
        super().__init__(across_processes, weight)
        self.box_weight = box_weight

    def terms(
        self, logits: Tensor, labels: Tensor, qualities: Tensor, errors: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return (AP Loss, box)."""
        value = ap_loss(*self.flat(logits, labels, torch.ones_like(qualities)))
        return value, self.box_weight * self.box_mean(logits, labels, errors)


class AlrpTerms(Terms):
    """aLRP Loss with its self-balancing weight (Oksuz et al., NeurIPS 2020, section 4).

    Args:
        period: steps between two changes of the weight, iterations per epoch.
        tau: IoU from which on a place is positive; 0.5, in an RPN 0.7.
        across_processes: as in `Terms`.
        weight: as in `Terms`.

    Attributes:
        balance: the `SelfBalance`; its buffers are in the state dict of the model. A state dict
            without them, as of a model that was trained with another loss, leaves them as they are.
    """

    def __init__(
        self,
        period: int,
        tau: float = 0.5,
        across_processes: bool = False,
        weight: float = 1.0,
    ) -> None:
        super().__init__(across_processes, weight)
        self.balance = SelfBalance(period)
        self.tau = tau

    def terms(
        self, logits: Tensor, labels: Tensor, qualities: Tensor, errors: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return (classification, localization times the balance)."""
        flat = self.flat(logits, labels, torch.ones_like(qualities))
        shares = self.gather(errors.to(logits.dtype) / (2 * (1 - self.tau)))
        classification, localization = alrp_loss(*flat, shares)
        # Without positives the loss has no graph of the boxes.
        localization = localization + 0 * errors.sum()
        return classification, self.balance_of(classification, localization) * localization

    def balance_of(self, classification: Tensor, localization: Tensor) -> Tensor:
        """Count a step of training and return the weight of its localization term."""
        if not self.training:  # a loss on validation images is no step
            return self.balance.weight.to(localization.dtype)
        return self.balance.update(classification, localization)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        own = {
            f"{prefix}balance.{name}": value for name, value in self.balance.state_dict().items()
        }
        if not own.keys() & state_dict.keys():
            state_dict.update(own)
        super()._load_from_state_dict(state_dict, prefix, *args)


def check_weight(name: str, value: Any) -> float:
    """Return a factor > 0 as a float; InputError if it is none."""
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not 0 < value < float("inf")
    ):
        raise InputError(f"{name} as a number > 0", repr(value), "2.0 is the published value")
    return float(value)
