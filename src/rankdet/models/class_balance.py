"""Focal loss weighted by class: a baseline for imbalanced data."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.losses import FocalLoss
from mmdet.registry import MODELS
from torch import Tensor

from rankdet.errors import InputError


@MODELS.register_module()
class ClassBalancedFocalLoss(FocalLoss):
    """Focal loss with each positive weighted by the effective number of its class.

    The weight of class c is (1 - beta) / (1 - beta^n_c), scaled so that the weights of all classes
    sum to their number; negatives have weight 1 (Y. Cui et al., "Class-balanced loss based on
    effective number of samples", CVPR 2019, eq. 12).

    Args:
        class_counts: training objects n_c of each class (C); the data set sets them.
        beta: in [0, 1); 0 weights all classes alike.
        **settings: of mmdet's focal loss.

    Raises:
        InputError: if beta is outside [0, 1), or a count is negative.
    """

    weights: Tensor

    def __init__(self, class_counts: Sequence[int], beta: float = 0.999, **settings) -> None:
        if not 0 <= beta < 1 or min(class_counts, default=0) < 0:
            got = f"beta {beta:g}, counts from {min(class_counts, default=0)}"
            raise InputError("beta in [0, 1) and counts from 0", got, "correct the config")
        super().__init__(use_sigmoid=True, **settings)
        # A class without an object never is a target; its weight counts as that of one object.
        counts = torch.as_tensor(class_counts, dtype=torch.float64).clamp(min=1)
        weights = (1 - beta) / (1 - beta**counts)
        weights = weights * len(counts) / weights.sum()
        own = torch.cat([weights, weights.new_ones(1)]).float()  # the last is the background
        self.register_buffer("weights", own, persistent=False)

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """Return the loss; as in mmdet, ``target`` are labels (N), with C for the background."""
        own = self.weights[target]
        weight = own if weight is None else weight * own
        return super().forward(pred, target, weight, avg_factor, reduction_override)
