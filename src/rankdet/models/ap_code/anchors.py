"""Anchors with last pixels, in float64."""

from __future__ import annotations

import numpy as np
import torch
from mmdet.models.task_modules.prior_generators import AnchorGenerator
from mmdet.registry import TASK_UTILS
from torch import Tensor


@TASK_UTILS.register_module()
class PixelAnchorGenerator(AnchorGenerator):
    """mmdet's anchors, placed around the middle pixel of a cell and ``pixel_offset`` smaller.

    The first anchor of a level is centred at (stride - 1) / 2, where mmdet's is at 0.

    They are computed, and by default returned, in float64: an object often has several anchors of
    equal IoU, all of which become positive; rounded to float32 most of those ties are lost.

    Args:
        pixel_offset: what a box is wider than x2 - x1.
        settings: as in mmdet; ``octave_base_scale`` and ``scales_per_octave`` are needed.
    """

    def __init__(self, *, pixel_offset: float = 1.0, **settings) -> None:
        self.pixel_offset = pixel_offset
        super().__init__(**settings)

    def gen_single_level_base_anchors(
        self, base_size: int, scales: Tensor, ratios: Tensor, center: tuple | None = None
    ) -> Tensor:
        """Return the anchors (A, 4) of the first cell; by ratio (height / width), then scale."""
        count = self.scales_per_octave
        octaves = np.array([2 ** (i / count) for i in range(count)])
        ratio = ratios.double().numpy()[:, None]
        widths = base_size * self.octave_base_scale * octaves / np.sqrt(ratio)
        half = (np.stack([widths, widths * ratio], -1).reshape(-1, 2) - self.pixel_offset) / 2
        middle = (base_size - self.pixel_offset) / 2
        return torch.from_numpy(np.concatenate([middle - half, middle + half], 1))

    def grid_priors(
        self, featmap_sizes: list[tuple], dtype: torch.dtype = torch.float64, device="cpu"
    ) -> list[Tensor]:
        """Return the anchors of each level (h w A, 4)."""
        return super().grid_priors(featmap_sizes, dtype, device)
