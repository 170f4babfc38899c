"""The losses under mmdet's registry: ``loss_cls`` of a head names them."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn

from rankdet import losses
from rankdet.errors import InputError


class RegisteredLoss(nn.Module):
    """A loss of `rankdet.losses` with what mmdet asks a classification loss about scores.

    There are C sigmoid outputs and no background class: dense heads and RoI heads build C outputs,
    not C + 1.

    Args:
        use_sigmoid: mmdet's switch; False is refused.
        **settings: of the loss.

    Raises:
        InputError: for ``use_sigmoid=False``.
    """

    loss: ClassVar[Callable[..., nn.Module]]
    use_sigmoid = True
    # mmdet's names: with these set, an RoI head asks the three methods below.
    custom_cls_channels = True
    custom_activation = True
    custom_accuracy = True

    def __init__(self, use_sigmoid: bool = True, **settings) -> None:
        if not use_sigmoid:
            raise InputError(
                "use_sigmoid=True", "False", "ranking losses work on independent class scores"
            )
        super().__init__()
        self.ranking_loss = self.loss(**settings)

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return what the loss returns for flat logits, targets and what else it takes."""
        return self.ranking_loss(*inputs)

    def get_cls_channels(self, num_classes: int) -> int:
        """Return the outputs of a head: no background."""
        return num_classes

    def get_activation(self, cls_score: Tensor) -> Tensor:
        """Return scores (N, C + 1) of logits (N, C); the last column is an empty background.

        mmdet's multi-class NMS drops the last column, so it has to be there.
        """
        scores = cls_score.sigmoid()
        return torch.cat([scores, scores.new_zeros(*scores.shape[:-1], 1)], dim=-1)

    def get_accuracy(self, cls_score: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return nothing: a share of correct arg-max classes says little about a ranking."""
        return {}


@MODELS.register_module()
class ApLoss(RegisteredLoss):
    """`rankdet.losses.ap_loss`."""

    loss = losses.ApLoss


@MODELS.register_module()
class AlrpLoss(RegisteredLoss):
    """`rankdet.losses.alrp_loss`."""

    loss = losses.AlrpLoss


@MODELS.register_module()
class RankSortLoss(RegisteredLoss):
    """`rankdet.losses.rank_sort_loss`."""

    loss = losses.RankSortLoss


@MODELS.register_module()
class ParameterizedApLoss(RegisteredLoss):
    """`rankdet.losses.parameterized_ap_loss`."""

    loss = losses.ParameterizedApLoss


@MODELS.register_module()
class BucketedApLoss(RegisteredLoss):
    """`rankdet.losses.bucketed_ap_loss`."""

    loss = losses.BucketedApLoss


@MODELS.register_module()
class BucketedRankSortLoss(RegisteredLoss):
    """`rankdet.losses.bucketed_rank_sort_loss`."""

    loss = losses.BucketedRankSortLoss
