"""What mmdet asks a classification loss about scores: C sigmoid outputs, no background class."""

from __future__ import annotations

import torch
from torch import Tensor


class SigmoidScores:
    """Mixin for registered losses: dense heads and RoI heads then build C outputs, not C + 1."""

    use_sigmoid = True
    # mmdet's names: with these set, an RoI head asks the three methods below.
    custom_cls_channels = True
    custom_activation = True
    custom_accuracy = True

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
