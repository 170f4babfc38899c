"""Which anchors of a level go to NMS: the official rule, which mmdet changed in version 2.20."""

from __future__ import annotations

import copy

from mmdet.utils import ConfigType
from mmengine.structures import InstanceData
from torch import Tensor


def best_anchors(scores: Tensor, count: int) -> Tensor:
    """Return the indices of the ``count`` anchors with the highest score over classes (A, C)."""
    return scores.amax(1).topk(min(count, len(scores))).indices


class AnchorPreselection:
    """Mixin in front of a dense head of mmdet: keep the best ``nms_pre`` anchors per level.

    All classes of a kept anchor stay. mmdet 3 keeps the best ``nms_pre`` (anchor, class) pairs
    instead; a ranking loss puts many pairs above the score threshold, so that the two rules give
    different boxes. The published figures were measured with this one.
    """

    def _predict_by_feat_single(
        self,
        cls_score_list: list[Tensor],
        bbox_pred_list: list[Tensor],
        score_factor_list: list[Tensor | None],
        mlvl_priors: list[Tensor],
        img_meta: dict,
        cfg: ConfigType | None = None,
        **kwargs,
    ) -> InstanceData:
        cfg = copy.deepcopy(self.test_cfg if cfg is None else cfg)
        limit = cfg.get("nms_pre", -1)
        if limit > 0:
            levels = [
                self._kept(*level, limit)
                for level in zip(cls_score_list, bbox_pred_list, mlvl_priors, strict=True)
            ]
            cls_score_list, bbox_pred_list, mlvl_priors = zip(*levels, strict=True)
            cfg.nms_pre = limit * (self.cls_out_channels + 1)  # mmdet's own rule then keeps all
        return super()._predict_by_feat_single(
            cls_score_list, bbox_pred_list, score_factor_list, mlvl_priors, img_meta, cfg, **kwargs
        )

    def _kept(
        self, logits: Tensor, deltas: Tensor, priors: Tensor, limit: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Cut a level of (A C, h, w), (A 4, h, w), (hwA, 4) to its best anchors, as (., K, 1)."""
        rows = logits.permute(1, 2, 0).reshape(-1, self.cls_out_channels)
        if len(rows) <= limit:
            return logits, deltas, priors
        kept = best_anchors(rows, limit)
        boxes = deltas.permute(1, 2, 0).reshape(len(rows), -1)[kept]
        return rows[kept].t()[:, :, None], boxes.t()[:, :, None], priors[kept]
