"""The losses under mmdet's registry: a config key names them."""

from __future__ import annotations

from mmdet.registry import MODELS

from rankdet import losses
from rankdet.errors import InputError
from rankdet.models.sigmoid_scores import SigmoidScores


class _Registered(SigmoidScores):
    """A module of `rankdet.losses` as mmdet configs build it; ``use_sigmoid`` is their switch."""

    def __init__(self, use_sigmoid: bool = True, **settings) -> None:
        if not use_sigmoid:
            raise InputError(
                "use_sigmoid=True", "False", "ranking losses work on independent class scores"
            )
        super().__init__(**settings)


@MODELS.register_module()
class ApLoss(_Registered, losses.ApLoss):
    """`rankdet.losses.ap_loss`."""


@MODELS.register_module()
class AlrpLoss(_Registered, losses.AlrpLoss):
    """`rankdet.losses.alrp_loss`."""


@MODELS.register_module()
class RankSortLoss(_Registered, losses.RankSortLoss):
    """`rankdet.losses.rank_sort_loss`."""


@MODELS.register_module()
class ParameterizedApLoss(_Registered, losses.ParameterizedApLoss):
    """`rankdet.losses.parameterized_ap_loss`."""


@MODELS.register_module()
class BucketedApLoss(_Registered, losses.BucketedApLoss):
    """`rankdet.losses.bucketed_ap_loss`."""


@MODELS.register_module()
class BucketedRankSortLoss(_Registered, losses.BucketedRankSortLoss):
    """`rankdet.losses.bucketed_rank_sort_loss`."""
