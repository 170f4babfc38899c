"""Ranking-based losses for object detection: exact, log-linear, on any device; needs torch only.

    from rankdet.losses import rank_sort_loss
    ranking, sorting = rank_sort_loss(logits.flatten(), targets.flatten())

All take flat raw logits [n] and targets [n]: > 0 positive, 0 negative, -1 ignored. P positives, N
negatives. The published loops cost O(P N); these cost O((P + N) log P) and O(N) memory:

    1. the window edges p_i - delta, p_i + delta of the positives cut the line into 2P + 1 segments;
    2. every negative is assigned to its segment (a look-up, no sort);
    3. count and sum per segment give all FP_i by running sums;
    4. from these each loss has its value and a coefficient c_i per positive;
    5. Sum_i c_i H(s_j - p_i), the gradient of negative j, is a line per segment: a second look-up.

Steps 1 to 3 and 5, with the formulas: _windows.py; step 4: ap.py, alrp.py, rank_sort.py (its
sorting part: _sorting.py), in the frame of _ranking.py. Parameterized AP: the same with several
pieces per window, _kernels.py. The bucketed forms are the published approximation.

All logits of a call are ranked together. More images than the recipe ranked: `RankingPools`. The
images of all processes in one ranking: `GlobalPool`.

Numbers. Sums are made in float64 from the high-score end whatever comes in, also under autocast;
values are float32 (float64 for float64 logits), the gradient has the dtype of the logits.

On a GPU. A call waits for the device once, to read the number of positives, a shape, together with
the checks of all values. Parameterized AP reads the number of selected logits too, its sigmoid
form the occupied intervals; the bucketed forms read the size of the buckets. Backward passes read
nothing.

The same bits on every run: no floating-point atomics and no running sum in an open order, on a GPU
sums per segment are integers. Equal logits need no rule, except where a sort decides, as published:
aLRP's localization part, the bucketed forms, and which of equal logits are among the top_k.

With torch.compile, also with fullgraph=True, a loss is one operator of the graph, of the same bits;
its backward computes the forward once more. float64 is needed: not on MPS.
"""

from rankdet.losses.alrp import AlrpLoss, alrp_loss
from rankdet.losses.ap import ApLoss, ap_loss
from rankdet.losses.bucketed import (
    BucketedApLoss,
    BucketedRankSortLoss,
    bucketed_ap_loss,
    bucketed_rank_sort_loss,
)
from rankdet.losses.parameterized_ap import (
    SEARCHED_CONTROL_POINTS,
    ParameterizedApLoss,
    parameterized_ap_loss,
)
from rankdet.losses.rank_sort import RankSortLoss, rank_sort_loss
from rankdet.losses.ranking_pools import GlobalPool, RankingPools
from rankdet.losses.self_balance import SelfBalance, scale_to_value

__all__ = [
    "SEARCHED_CONTROL_POINTS",
    "AlrpLoss",
    "ApLoss",
    "BucketedApLoss",
    "BucketedRankSortLoss",
    "GlobalPool",
    "ParameterizedApLoss",
    "RankSortLoss",
    "RankingPools",
    "SelfBalance",
    "alrp_loss",
    "ap_loss",
    "bucketed_ap_loss",
    "bucketed_rank_sort_loss",
    "parameterized_ap_loss",
    "rank_sort_loss",
    "scale_to_value",
]
