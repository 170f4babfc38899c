"""Which cells of SOLOv2's grids belong to which object."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


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
    """Return x, y of the centre of each mask in pixels: (n, H, W) bool -> (n, 2), float64."""
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
    """Give the cells around the centres of one level's objects to these objects.

    An object belongs to the level if the root of its box area lies in ``scale_range``. It claims
    the cells under a box around its centre of mass, ``center_scale`` times as large as its own box
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
