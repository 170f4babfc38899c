"""The RPN with a ranking loss."""

from __future__ import annotations

from mmdet.models.dense_heads import RPNHead
from mmdet.registry import MODELS

from rankdet.models.heads.dense import RankedDenseHead
from rankdet.models.pools import RankedPool, Terms


@MODELS.register_module()
class RankedRPNHead(RankedDenseHead, RPNHead):
    """RPN with a ranking loss on the anchors that the sampler of its training config keeps.

    aLRP and Rank & Sort take all of them; what a sampler leaves out is ignored.

    Args:
        head_weight: factor on all terms, beside those of the RoI head. 0.20 in aLRP Loss (Oksuz et
            al., NeurIPS 2020, section 5) and in Rank & Sort Loss (ICCV 2021, section 5.2).
        settings: as in `RankedDenseHead` and mmdet.
    """

    place = "rpn_"
    # Proposals are chosen as in mmdet.
    _predict_by_feat_single = RPNHead._predict_by_feat_single

    def __init__(self, *args, head_weight: float = 1.0, **settings) -> None:
        super().__init__(*args, **settings)
        self.head_weight = head_weight

    def step_terms(self, pool: RankedPool) -> Terms:
        """Return the weighted terms of one pool."""
        return tuple(self.head_weight * term for term in super().step_terms(pool))
