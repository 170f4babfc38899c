"""The losses under mmdet's registry: a config key names them."""

from __future__ import annotations

from mmdet.registry import MODELS
from torch import Tensor, nn

from rankdet import losses
from rankdet.models.sigmoid_scores import SigmoidScores


class _Registered(SigmoidScores, nn.Module):
    """A function of `rankdet.losses` with its settings; ``use_sigmoid`` is mmdet's switch."""

    def __init__(self, use_sigmoid: bool = True, **settings) -> None:
        super().__init__()
        self.settings = settings


@MODELS.register_module()
class ApLoss(_Registered):
    """`rankdet.losses.ap_loss`."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of flat logits (N) and targets (N)."""
        return losses.ap_loss(logits, targets, **self.settings)


@MODELS.register_module()
class AlrpLoss(_Registered):
    """`rankdet.losses.alrp_loss`."""

    def forward(self, logits: Tensor, targets: Tensor, errors: Tensor) -> tuple[Tensor, Tensor]:
        """Return classification and localization part; errors (P) in flat order."""
        return losses.alrp_loss(logits, targets, errors, **self.settings)


@MODELS.register_module()
class RankSortLoss(_Registered):
    """`rankdet.losses.rank_sort_loss`."""

    def forward(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return ranking and sorting part."""
        return losses.rank_sort_loss(logits, targets, **self.settings)
