"""SOLOv2 with Rank & Sort Loss: grid cells are ranked, Dice is their quality."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import SOLOV2Head
from mmdet.registry import MODELS
from torch import Tensor

from rankdet.losses import RankingPools
from rankdet.models.pools import Terms
from rankdet.models.steps.rank_sort import rank_sort_terms


@dataclass
class _Positives:
    """Positive cells of one image on one level, in the order of the grid (P).

    Attributes:
        cells: index in the grid (P).
        labels: class (P).
        errors: Dice error of each cell's mask (P).
        order: the permutation that lists them object by object (P).
    """

    cells: Tensor
    labels: Tensor
    errors: Tensor
    order: Tensor


@MODELS.register_module()
class RankSortSOLOV2Head(SOLOV2Head):
    """SOLOv2 head with Rank & Sort Loss (Oksuz et al., ICCV 2021, section 5.3).

    All cells x classes are ranked. The target of a positive cell is the Dice value of its mask;
    the Dice errors are weighted by the highest score of their cells and balanced to the value of
    ranking + sorting, in place of the focal loss and the fixed weights 1 : 3.

    Two defects of the official code are fixed. It lists masks object by object but scores cell by
    cell, so that objects which share a level of an image exchange their Dice values and weights;
    here each cell has its own (``official_order`` restores the exchange, to repeat the published
    run). And it stops when one image has no object; here such images give negatives only, and a
    batch without any object gives zeros with a graph.

    Args:
        pool_images: images ranked together; None takes the whole batch.
        official_order: pair the Dice values in object order with the cells in grid order.
        settings: as in mmdet; ``loss_mask`` gives one error per mask.
    """

    def __init__(
        self, *args, pool_images: int | None = None, official_order: bool = False, **settings
    ) -> None:
        super().__init__(*args, **settings)
        self.pool_images = pool_images
        self.official_order = official_order

    def loss_by_feat(
        self,
        mlvl_kernel_preds: list[Tensor],
        mlvl_cls_preds: list[Tensor],
        mask_feats: Tensor,
        batch_gt_instances: list,
        batch_img_metas: list[dict],
        **kwargs,
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch.

        Args:
            mlvl_kernel_preds: kernels per level (B, K, S, S).
            mlvl_cls_preds: logits per level (B, C, S, S).
            mask_feats: (B, E, h, w), a quarter of the padded images.
            batch_gt_instances: per image ``bboxes`` (n, 4), ``labels`` (n), ``masks`` (n, H, W).
            batch_img_metas: per image.
            **kwargs: not read.

        Returns:
            Scalars by name, the means over the ranking pools.
        """
        positives = [
            self._image_positives(image, instances, mlvl_kernel_preds, mask_feats[image])
            for image, instances in enumerate(batch_gt_instances)
        ]

        def terms_of(images: slice) -> Terms:
            logits = [level[images].float() for level in mlvl_cls_preds]
            return self._pool_terms(logits, positives[images])

        ranking, sorting, mask = RankingPools(self.pool_images).mean(len(positives), terms_of)
        # Attached to every output, also where no image has an object.
        attached = sum(kernels.sum() for kernels in mlvl_kernel_preds) + mask_feats.sum()
        return {
            "loss_rank": ranking,
            "loss_sort": sorting,
            "loss_mask": mask + attached.float() * 0,
        }

    def _predict_by_feat_single(self, kernel_preds, cls_scores, mask_feats, img_meta, cfg=None):
        """Predict one image as mmdet does, from its ``max_candidates`` highest scores (N, C).

        Without that key in the test config there is no limit, as in the official code.
        """
        limit = (cfg or self.test_cfg).get("max_candidates", cls_scores.numel())
        if limit < cls_scores.numel():
            lowest = cls_scores.flatten().topk(limit).values[-1]
            cls_scores = cls_scores * (cls_scores >= lowest)
        return super()._predict_by_feat_single(kernel_preds, cls_scores, mask_feats, img_meta, cfg)

    def targets(self, instances, size: tuple[int, int]) -> list[GridCells]:
        """Return the positive cells of one image per level; ``size`` is that of the mask map."""
        masks = instances.masks.to_tensor(dtype=torch.bool, device=instances.bboxes.device)
        extent = (size[0] * self.mask_stride, size[1] * self.mask_stride)
        return [
            assign_cells(instances.bboxes, masks, grid, scales, extent, self.pos_scale)
            for grid, scales in zip(self.num_grids, self.scale_ranges, strict=True)
        ]

    def _image_positives(self, image, instances, kernel_preds, mask_feat) -> list[_Positives]:
        size = tuple(mask_feat.shape[-2:])
        levels = self.targets(instances, size)
        kernels = [
            level[image].flatten(1)[:, found.cells]
            for level, found in zip(kernel_preds, levels, strict=True)
        ]
        masks = self._masks(mask_feat, torch.cat(kernels, 1)).float()
        # On the host, where the masks are: at full size they would fill a GPU.
        small = instances.masks.resize(size, interpolation="bilinear")
        mask_targets = small.to_tensor(dtype=torch.float32, device=mask_feat.device)
        objects = torch.cat([found.objects for found in levels])
        errors = self.loss_mask(masks, mask_targets[objects], reduction_override="none")
        parts = errors.split([len(found.cells) for found in levels])
        return [
            _Positives(found.cells, instances.labels[found.objects], part, found.object_order())
            for found, part in zip(levels, parts, strict=True)
        ]

    def _masks(self, mask_feat: Tensor, kernels: Tensor) -> Tensor:
        """Return mask logits (P, h, w) of a mask map (E, h, w) and kernels (K, P)."""
        side = self.dynamic_conv_size
        if not kernels.shape[1]:
            return mask_feat.new_zeros(0, *mask_feat.shape[-2:])
        return F.conv2d(mask_feat[None], kernels.T.unflatten(1, (-1, side, side)))[0]

    def _pool_terms(self, logits: list[Tensor], positives: list[list[_Positives]]) -> Terms:
        """Return ranking, sorting and mask term of one pool, flat over (level, image, cell).

        Args:
            logits: per level (b, C, S, S), the pool's images.
            positives: per image, per level.
        """
        flat = torch.cat([level.permute(0, 2, 3, 1).flatten(0, 2) for level in logits])
        rows, labels, errors = [], [], []
        start = 0
        for level, scores in enumerate(logits):
            cells = scores.shape[-1] ** 2
            for levels in positives:
                found = levels[level]
                rows.append(start + found.cells)
                labels.append(found.labels)
                errors.append(found.errors[found.order] if self.official_order else found.errors)
                start += cells
        row, label, error = torch.cat(rows), torch.cat(labels), torch.cat(errors)
        if not len(row):
            return (flat.sum() * 0,) * 3
        targets = torch.zeros_like(flat)
        targets[row, label] = (1 - error.detach()).clamp(0, 1)
        weights = flat[row].detach().sigmoid().amax(1)
        return rank_sort_terms(self.loss_cls, flat, targets, error, weights)


@dataclass
class GridCells:
    """The positive cells (P) of one image on one level, ascending in row-major order.

    Attributes:
        cells: index of the cell in the grid (P).
        objects: index of its object among the image's ground truth (P).
    """

    cells: Tensor
    objects: Tensor

    def object_order(self) -> Tensor:
        """Return the permutation (P) that lists the cells object by object, as SOLO does."""
        return torch.argsort(self.objects, stable=True)


def centers_of_mass(masks: Tensor) -> Tensor:
    """Return x, y of the center of each mask in pixels: (n, H, W) bool -> (n, 2), float64."""
    # Sums of integers: full masks in float64 would take gigabytes.
    in_columns, in_rows = masks.sum(1).double(), masks.sum(2).double()
    columns, rows = (
        torch.arange(sums.shape[1], dtype=sums.dtype, device=sums.device)
        for sums in (in_columns, in_rows)
    )
    mass = in_rows.sum(1).clamp(min=1e-6)
    return torch.stack((in_columns @ columns, in_rows @ rows), 1) / mass[:, None]


def assign_cells(
    boxes: Tensor,
    masks: Tensor,
    grid: int,
    scale_range: tuple[float, float],
    size: tuple[int, int],
    center_scale: float,
) -> GridCells:
    """Give the cells around the centers of one level's objects to these objects.

    An object belongs to the level if the root of its box area lies in ``scale_range``. It claims
    the cells under a box around its center of mass, ``center_scale`` times as large as its own box
    and at most 3 x 3 cells. A cell claimed twice stays with the first object, as in the official
    Rank & Sort code (mmdet's head gives it the last one's class, and masks of both).

    Args:
        boxes: (n, 4) xyxy in pixels.
        masks: (n, H, W) bool.
        grid: cells along each side.
        scale_range: lowest and highest root of the box area, both inclusive.
        size: height and width that the grid spans, in pixels.
        center_scale: mmdet's ``pos_scale`` (SOLOv2 paper: 0.2).
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    root = sides.prod(1).sqrt()
    chosen = (root >= scale_range[0]) & (root <= scale_range[1]) & masks.flatten(1).any(1)
    objects = chosen.nonzero().squeeze(1)
    if not len(objects):
        return GridCells(objects, objects)
    height, width = size
    # Cells along x, y per pixel.
    extent = boxes.new_tensor([width, height], dtype=torch.float64)
    centers = centers_of_mass(masks[objects])
    half = 0.5 * sides[objects] * center_scale

    def cell(points: Tensor) -> Tensor:
        return torch.div(points / extent, 1.0 / grid, rounding_mode="floor").long()

    middle = cell(centers)
    first = torch.maximum(cell(centers - half).clamp(min=0), middle - 1)
    last = torch.minimum(cell(centers + half).clamp(max=grid - 1), middle + 1)
    place = torch.arange(grid, device=boxes.device)
    # (n, grid, 2): whether column, row `place` is claimed.
    inside = (place[None, :, None] >= first[:, None]) & (place[None, :, None] <= last[:, None])
    claims = (inside[:, :, 1, None] & inside[:, None, :, 0]).flatten(1)
    cells = claims.any(0).nonzero().squeeze(1)
    return GridCells(cells, objects[claims[:, cells].long().argmax(0)])
