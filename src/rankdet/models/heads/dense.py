"""The ranking dense heads (RetinaNet, FoveaBox, RPN, ATSS) and what they share with all others.

Targets as in mmdet, one loss step per pool, candidates.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from mmdet.models.dense_heads import ATSSHead, FoveaHead, RetinaHead, RPNHead
from mmdet.models.task_modules.assigners import ATSSAssigner
from mmdet.models.utils import images_to_levels
from mmdet.registry import MODELS
from mmdet.structures.bbox import cat_boxes
from mmdet.utils import ConfigType
from mmengine.structures import InstanceData
from torch import Tensor, nn

from rankdet.losses import SelfBalance
from rankdet.models.boxes import check_gradient_scale, decode_on_unit_anchor, scale_gradient
from rankdet.models.pools import (
    Balance,
    LossStep,
    PoolLosses,
    RankedPool,
    Terms,
    attach_step,
    pool_losses,
)


class RankedDenseHead:
    """In front of a dense head of mmdet: replaces its losses and the candidates of its NMS.

    Args:
        loss_step: config of a loss step of `rankdet.models.steps`.
        pool_images: images ranked together; None takes the whole batch.
        self_balance: arguments of the head's self-balance, beside `AlrpStep`.
        box_gradient_scale: factor on the gradient of the box branch, see `scale_gradient`. As
            published for Parameterized AP Loss 4.1231 (RetinaNet) and 1.6950 (RPN).
        settings: as in mmdet.
    """

    # Of mmdet's head.
    assigner: Any
    bbox_coder: Any
    cls_out_channels: int
    get_anchors: Callable[..., tuple]
    get_targets: Callable[..., tuple]
    loss_bbox: Any
    loss_cls: Any
    test_cfg: Any
    # Set by `attach_step`.
    loss_step: LossStep
    pool_images: int | None
    self_balance: Balance | None

    place = ""  # in the names of the losses
    balance: ClassVar[Callable[..., Balance]] = SelfBalance
    reg_decoded_bbox = False  # mmdet sets it in anchor heads only

    def __init__(
        self,
        *args,
        loss_step: ConfigType,
        pool_images: int | None = None,
        self_balance: ConfigType | None = None,
        box_gradient_scale: float = 1.0,
        **settings,
    ) -> None:
        check_gradient_scale(box_gradient_scale)
        super().__init__(*args, **settings)
        self.box_gradient_scale = box_gradient_scale
        attach_step(self, loss_step, pool_images, self_balance, self.balance)

    def forward_single(self, *inputs) -> tuple[Tensor, ...]:
        """Return what mmdet's head returns for a level: logits, deltas and what else there is."""
        logits, deltas, *others = super().forward_single(*inputs)  # type: ignore[misc]
        return (logits, scale_gradient(deltas, self.box_gradient_scale), *others)

    def decode(self, anchors: Tensor, deltas: Tensor) -> Tensor:
        """Return boxes (P, 4) in the frame in which they are measured: on the unit anchor."""
        return decode_on_unit_anchor(self.bbox_coder, deltas)

    def step_terms(self, pool: RankedPool) -> Terms:
        """Return the loss terms of one pool with positives."""
        return self.loss_step(pool, self.loss_cls, self.loss_bbox)

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        batch_gt_instances: list,
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: list | None = None,
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch.

        Args:
            cls_scores: logits per level (B, A C, h, w).
            bbox_preds: deltas per level (B, A 4, h, w).
            batch_gt_instances: per image ``bboxes`` (n, 4) and ``labels`` (n).
            batch_img_metas: per image.
            batch_gt_instances_ignore: per image boxes whose anchors take no part.

        Returns:
            Scalars by name. Without any positive: zeros attached to every output.
        """
        return self.batch_losses(
            cls_scores, bbox_preds, batch_gt_instances, batch_img_metas, batch_gt_instances_ignore
        ).losses

    def batch_losses(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        gt_instances: list,
        metas: list[dict],
        ignored: list | None,
    ) -> PoolLosses:
        """Return the losses of a batch with its pools; arguments as in `loss_by_feat`."""
        cls_scores = [scores.float() for scores in cls_scores]
        bbox_preds = [deltas.float() for deltas in bbox_preds]
        targets = self.level_targets(cls_scores, bbox_preds, gt_instances, metas, ignored)
        classes = cls_scores[0].shape[1] // (bbox_preds[0].shape[1] // 4)

        def pool_of(images: slice) -> RankedPool:
            # Views and copies: a mask of images would wait for the device.
            def rows(levels: list[Tensor], width: int) -> Tensor:
                parts = [level[images].permute(0, 2, 3, 1).reshape(-1, width) for level in levels]
                return torch.cat(parts)

            anchors, labels, label_weights, box_targets = (
                torch.cat([level[images].flatten(0, 1) for level in levels]) for levels in targets
            )
            return RankedPool(
                logits=rows(cls_scores, classes),
                deltas=rows(bbox_preds, 4),
                priors=anchors,
                labels=labels,
                label_weights=label_weights,
                box_targets=box_targets,
                decode=self.decode,
                targets_are_boxes=self.reg_decoded_bbox,
            )

        return pool_losses(self, len(cls_scores[0]), pool_of)

    def level_targets(self, cls_scores, bbox_preds, gt_instances, metas, ignored) -> tuple:
        """Return anchors, labels, label weights and box targets, each per level (B, hwA, ...)."""
        sizes = [scores.shape[-2:] for scores in cls_scores]
        anchors, valid = self.get_anchors(sizes, metas, device=cls_scores[0].device)
        counts = [level.size(0) for level in anchors[0]]
        found = self.get_targets(
            anchors, valid, gt_instances, metas, batch_gt_instances_ignore=ignored
        )
        if isinstance(self.assigner, ATSSAssigner):  # then the anchors come first
            return found[:4]
        joined = [cat_boxes(list(levels)) for levels in anchors]
        return (images_to_levels(joined, counts), *found[:3])

    def _predict_by_feat_single(
        self,
        cls_score_list: list[Tensor],
        bbox_pred_list: list[Tensor],
        score_factor_list: list[Tensor | None],
        mlvl_priors: list[Tensor],
        img_meta: dict,
        cfg: ConfigType | None = None,
        rescale: bool = False,
        with_nms: bool = True,
    ) -> InstanceData:
        """Predict one image as mmdet does, from the best ``nms_pre`` anchors of each level.

        All classes of a kept anchor stay, as before mmdet 2.20. mmdet 3 keeps the best ``nms_pre``
        (anchor, class) pairs instead; a ranking loss puts many pairs above the score threshold, so
        that the two rules give different boxes. The published figures were measured with this one.
        """
        cfg = copy.deepcopy(self.test_cfg if cfg is None else cfg)
        limit = cfg.get("nms_pre", -1)
        if limit > 0:
            levels = [
                self._best(*level, limit)
                for level in zip(cls_score_list, bbox_pred_list, mlvl_priors, strict=True)
            ]
            cls_score_list, bbox_pred_list, mlvl_priors = map(list, zip(*levels, strict=True))
            cfg.nms_pre = limit * (self.cls_out_channels + 1)  # mmdet's own rule then keeps all
        return super()._predict_by_feat_single(  # type: ignore[misc]
            cls_score_list,
            bbox_pred_list,
            score_factor_list,
            mlvl_priors,
            img_meta,
            cfg,
            rescale,
            with_nms,
        )

    def _best(
        self, logits: Tensor, deltas: Tensor, priors: Tensor, limit: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Cut a level of (A C, h, w), (A 4, h, w), (hwA, 4) to its best anchors, as (., K, 1)."""
        rows = logits.permute(1, 2, 0).reshape(-1, self.cls_out_channels)
        if len(rows) <= limit:
            return logits, deltas, priors
        kept = best_anchors(rows, limit)
        boxes = deltas.permute(1, 2, 0).reshape(len(rows), -1)[kept]
        return rows[kept].t()[:, :, None], boxes.t()[:, :, None], priors[kept]


def best_anchors(scores: Tensor, count: int) -> Tensor:
    """Return the indices of the ``count`` anchors with the highest score over classes (A, C)."""
    return scores.amax(1).topk(min(count, len(scores))).indices


@MODELS.register_module()
class RankedRetinaHead(RankedDenseHead, RetinaHead):
    """RetinaNet head with a ranking loss: AP, aLRP or Parameterized AP Loss as published."""


@MODELS.register_module()
class RankedATSSRetinaHead(RankedDenseHead, RetinaHead):
    """`RankedRetinaHead` with ATSS assignment (Zhang et al., CVPR 2020), aLRP's best setting.

    ATSS looks at the pyramid levels, which mmdet's RetinaNet head does not pass to its assigner;
    the target methods are those of mmdet's ATSS head. No centerness is added.
    """

    get_targets = ATSSHead.get_targets
    _get_targets_single = ATSSHead._get_targets_single
    get_num_level_anchors_inside = ATSSHead.get_num_level_anchors_inside


@MODELS.register_module()
class RankedFoveaHead(RankedDenseHead, FoveaHead):
    """FoveaBox head with a ranking loss; its targets have the layout of anchor heads.

    A place has one prior, no place is ignored, and images without objects are all background (the
    official code stops where no image has one). The "anchor" of a place reaches one base edge of
    its level to each side: the box that a prediction of zeros gives.
    """

    def decode(self, anchors: Tensor, deltas: Tensor) -> Tensor:
        """Return boxes (P, 4) in pixels around their place, from logarithms of distances.

        The official code confuses centers and scales in batches of several images; prediction and
        target share the wrong frame, and GIoU does not depend on it.
        """
        base = (anchors[:, 2:] - anchors[:, :2])[:, :1] / 2
        distances = base * deltas.exp()
        return torch.cat([-distances[:, :2], distances[:, 2:]], 1)

    def level_targets(self, cls_scores, bbox_preds, gt_instances, metas, ignored) -> tuple:
        """Return anchors, labels, label weights and box targets, each per level (B, hw, ...)."""
        sizes = [tuple(scores.shape[-2:]) for scores in cls_scores]
        like = dict(dtype=bbox_preds[0].dtype, device=bbox_preds[0].device)
        points = self.prior_generator.grid_priors(sizes, **like)
        labels, box_targets = self.get_targets(gt_instances, sizes, points)
        batch = len(metas)
        counts = [batch * height * width for height, width in sizes]
        labels = [level.view(batch, -1) for level in labels.split(counts)]
        box_targets = [level.view(batch, -1, 4) for level in box_targets.split(counts)]
        anchors = [
            torch.cat([places - edge, places + edge], 1).expand(batch, -1, -1)
            for places, edge in zip(points, self.base_edge_list, strict=True)
        ]
        weights = [torch.ones_like(level, dtype=torch.float32) for level in labels]
        return anchors, labels, weights, box_targets


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


class ScoresOnly:
    """In front of mmdet's ATSS head: without the branch that corrects the scores.

    That is centerness in ATSS and the predicted IoU in PAA: a ranking loss with IoU targets, or
    weights, needs neither (Oksuz et al., ICCV 2021, section 5.1).
    """

    # Of mmdet's head.
    atss_centerness: nn.Module
    atss_cls: nn.Module
    atss_reg: nn.Module
    cls_convs: nn.ModuleList
    loss_centerness: nn.Module
    reg_convs: nn.ModuleList

    def __init__(self, *args, **settings) -> None:
        super().__init__(*args, **settings)
        del self.loss_centerness  # mmdet builds it from the base config

    def _init_layers(self) -> None:
        super()._init_layers()  # type: ignore[misc]
        del self.atss_centerness

    def forward_single(self, x: Tensor, scale: nn.Module, /) -> tuple[Tensor, ...]:
        """Return logits (B, A C, h, w) and deltas (B, A 4, h, w) of one level."""
        cls_feat, reg_feat = x, x
        for convolution in self.cls_convs:
            cls_feat = convolution(cls_feat)
        for convolution in self.reg_convs:
            reg_feat = convolution(reg_feat)
        return self.atss_cls(cls_feat), scale(self.atss_reg(reg_feat)).float()


@MODELS.register_module()
class RankedATSSHead(RankedDenseHead, ScoresOnly, ATSSHead):
    """ATSS head with a ranking loss on boxes in pixels."""

    def decode(self, anchors: Tensor, deltas: Tensor) -> Tensor:
        """Return boxes (P, 4) in pixels."""
        return self.bbox_coder.decode(anchors, deltas)
