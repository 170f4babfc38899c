"""Ranking-based losses for object detection: exact, log-linear, on any device."""

from rankdet.losses.alrp import alrp_loss
from rankdet.losses.ap import ap_loss
from rankdet.losses.bucketed import bucketed_ap_loss, bucketed_rank_sort_loss
from rankdet.losses.control_points import SEARCHED_CONTROL_POINTS
from rankdet.losses.modules import (
    AlrpLoss,
    ApLoss,
    BucketedApLoss,
    BucketedRankSortLoss,
    ParameterizedApLoss,
    RankSortLoss,
)
from rankdet.losses.parameterized_ap import parameterized_ap_loss
from rankdet.losses.rank_sort import rank_sort_loss
from rankdet.losses.self_balance import SelfBalance, scale_to_value

__all__ = [
    "SEARCHED_CONTROL_POINTS",
    "AlrpLoss",
    "ApLoss",
    "BucketedApLoss",
    "BucketedRankSortLoss",
    "ParameterizedApLoss",
    "RankSortLoss",
    "SelfBalance",
    "alrp_loss",
    "ap_loss",
    "bucketed_ap_loss",
    "bucketed_rank_sort_loss",
    "parameterized_ap_loss",
    "rank_sort_loss",
    "scale_to_value",
]
