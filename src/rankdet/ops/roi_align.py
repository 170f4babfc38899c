"""RoIAlign, forward and backward, as mmcv's operators.

Source: He et al., Mask R-CNN, ICCV 2017, section 3; sampling points, borders and ``aligned`` as in
mmcv 2.1. A bin's value is the mean of samples on a regular grid, each bilinear between four
pixels. Grid and bilinear weights are products of a part along y and a part along x, so a bin is a
weighted sum of the pixels under it, whose weights are products as well: fewer terms than four for
each sample. The sums, and why they are deterministic: `rankdet.ops._rows`.

The functions have mmcv's names, arguments and order of arguments, and write to tensors that the
caller made:

- ``input``, ``grad_input``: features [B, C, H, W].
- ``rois``: [R, 5]: index of the image, x1, y1, x2, y2. With ``aligned`` a RoI of negative or
  undefined size raises InputError on the CPU (compiled mmcv: RuntimeError); elsewhere its result
  is 0 or NaN.
- ``output``, ``grad_output``: [R, C, aligned_height, aligned_width], as many bins.
- ``spatial_scale``: pixels of the features for a unit of the RoIs; ``aligned``: pixel centers are
  at .5.
- ``sampling_ratio``: samples per bin and side; 0: one for each pixel, rounded up.
- ``pool_mode``: 1 takes the mean of the samples, 0 the maximum. Then ``argmax_y`` and ``argmax_x``
  have the shape of ``output`` and hold the sample's place, -1 for none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rankdet.errors import InputError
from rankdet.ops._rows import add_rows, in_single, to_rows, transposed_sums, weighted_sums

_MOST_ENTRIES = 1 << 22  # of the sparse matrix at a time: 48 MiB
MAX = 0  # of pool_mode
_LEAST = -10000.0  # where mmcv's maximum starts on the CPU


@dataclass(frozen=True)
class _Axis:
    """The RoIs along y or x: their bins' sampling points, in pixels.

    Attributes:
        start: [R] where the RoI begins.
        step: [R] the length of a bin.
        grid: [R] int64, samples in a bin.
        bins: bins of each RoI.
        size: pixels of the features.
    """

    start: Tensor
    step: Tensor
    grid: Tensor
    bins: int
    size: int

    def __getitem__(self, chosen: Tensor) -> _Axis:
        grids = (self.start[chosen], self.step[chosen], self.grid[chosen])
        return _Axis(*grids, self.bins, self.size)

    def points(self, samples: int) -> Tensor:
        """Sampling points [R, bins, samples]; those from ``grid`` on do not count."""
        places = torch.arange(samples, device=self.start.device)
        bins = torch.arange(self.bins, device=self.start.device)[:, None]
        start, step, grid = (
            value[:, None, None] for value in (self.start, self.step, self.grid.clamp(min=1))
        )
        return start + bins * step + (places + 0.5) * step / grid

    def reach(self) -> Tensor:
        """The most pixels [R] that a bin of each RoI touches."""
        last = (self.grid - 1).clamp(min=0)
        bins = torch.arange(self.bins, device=self.start.device)
        ends = []
        for place in (torch.zeros_like(last), last):
            offset = (place + 0.5) * self.step / self.grid.clamp(min=1)
            points = self.start[:, None] + bins * self.step[:, None] + offset[:, None]
            ends.append(points.clamp(0, self.size - 1).floor())
        return (ends[1] - ends[0]).amax(1).long().clamp(0, self.size - 1) + 2

    def pixels(self, most: int, samples: int) -> tuple[Tensor, Tensor]:
        """The pixels [R, bins, most] under each bin and their weights in its mean.

        ``samples``: the largest ``grid``, at least 1.
        """
        points = self.points(samples)
        counts = torch.arange(samples, device=points.device) < self.grid[:, None, None]
        counts = counts & _inside(points, self.size)
        points = points.clamp(0, self.size - 1)
        first = points[..., 0].floor()
        touched = first[..., None] + torch.arange(most, device=points.device)
        # The bilinear weight of a pixel is 1 at its place and 0 from the next pixels on.
        weights = 1 - (points[..., None, :] - touched[..., None]).abs()
        weights = (weights.clamp_(min=0) * counts[..., None, :]).sum(-1)
        weights = weights / self.grid.clamp(min=1)[:, None, None]
        return touched.long().clamp_(0, self.size - 1), weights


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the pooled features to ``output``."""
    if len(rois) == 0 or input.shape[1] == 0:
        return
    y, x, images = _axes(
        input.shape, rois, aligned_height, aligned_width, spatial_scale, sampling_ratio, aligned
    )
    if pool_mode == MAX:
        _maximum(to_rows(input), y, x, images, output, argmax_y, argmax_x)
        return
    if input.shape[1] == 1:
        _line_by_line(in_single(input.detach()), y, x, images, output)
        return
    rows = to_rows(input)
    pooled = rows.new_empty(len(rois), aligned_height * aligned_width, input.shape[1])
    for chosen, pixels, weights in _matrix(y, x, images):
        part = weighted_sums(rows, pixels.flatten(0, 1), weights.flatten(0, 1))
        pooled[chosen] = part.view(len(chosen), *pooled.shape[1:])
    output.copy_(pooled.transpose(1, 2).view(output.shape))


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Add the gradients of the features to ``grad_input``."""
    if len(rois) == 0 or grad_input.shape[1] == 0:
        return
    if pool_mode == MAX:
        _maximum_backward(grad_output, rois, argmax_y, argmax_x, grad_input)
        return
    y, x, images = _axes(
        grad_input.shape, rois, aligned_height, aligned_width, spatial_scale, sampling_ratio,
        aligned,
    )  # fmt: skip
    bins = aligned_height * aligned_width
    rows = to_rows(grad_output)
    count = grad_input.numel() // grad_input.shape[1]
    places = torch.arange(bins, device=rois.device)[:, None]
    kept: list[tuple[Tensor, ...]] = []
    entries = 0

    def add() -> None:
        sources, weights, pixels = (torch.cat(parts) for parts in zip(*kept, strict=True))
        add_rows(grad_input, transposed_sums(rows, sources, weights, pixels, count))
        kept.clear()

    for chosen, pixels, weights in _matrix(y, x, images):
        sources = (chosen[:, None, None] * bins + places).expand_as(pixels)
        kept.append((sources.flatten(), weights.flatten(), pixels.flatten()))
        entries += pixels.numel()
        if entries >= _MOST_ENTRIES:
            add()
            entries = 0
    if kept:
        add()


def corners_of(rois: Tensor, spatial_scale: float, aligned: bool) -> Tensor:
    """Return the corners of RoIs in pixels of the features.

    Args:
        rois: [R, 5].
        spatial_scale: pixels for a unit of the RoIs.
        aligned: pixel centers are at .5.

    Returns:
        [R, 4]: x1, y1, x2, y2.

    Raises:
        InputError: on the CPU, where the test is free, if ``aligned`` and a RoI's size is
            negative or undefined.
    """
    rois = in_single(rois.detach())
    scale = float(np.float32(spatial_scale))  # as compiled mmcv reads it
    corners = rois[:, 1:] * scale - (0.5 if aligned else 0.0)
    if aligned and rois.device.type == "cpu":
        bad = ~(corners[:, 2:] - corners[:, :2] >= 0).all(1)
        if bool(bad.any()):
            raise InputError(
                "RoIs whose x2 >= x1 and y2 >= y1",
                f"{rois[bad][0].tolist()}",
                "clip or drop such RoIs",
            )
    return corners


def _axes(
    shape: torch.Size,
    rois: Tensor,
    bins_y: int,
    bins_x: int,
    scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> tuple[_Axis, _Axis, Tensor]:
    """The RoIs [R, 5] along y and x and the index [R] of their images."""
    corners = corners_of(rois, scale, aligned)
    lengths = corners[:, 2:] - corners[:, :2]
    if not aligned:
        lengths = lengths.clamp(min=1)
    axes = []
    for side, bins in ((1, bins_y), (0, bins_x)):
        step = lengths[:, side] / bins
        if sampling_ratio > 0:
            grid = torch.full_like(step, sampling_ratio, dtype=torch.int64)
        else:
            grid = step.float().ceil().long().clamp(min=0)
        axes.append(_Axis(corners[:, side], step, grid, bins, shape[3 - side]))
    return axes[0], axes[1], rois[:, 0].detach().long()


def _line_by_line(features: Tensor, y: _Axis, x: _Axis, images: Tensor, output: Tensor) -> None:
    """Write the means for features [B, 1, H, W]: sums of whole lines first, then along them.

    Masks have one channel, where sums of vectors would be sums of single numbers.
    """
    lines = features.reshape(-1, x.size)
    for chosen, touched, samples in _groups(y, x, least=y.bins * x.size):
        rows, of_rows = y[chosen].pixels(touched[0], samples[0])
        columns, of_columns = x[chosen].pixels(touched[1], samples[1])
        rows = rows + images[chosen, None, None] * y.size
        sums = weighted_sums(lines, rows.flatten(0, 1), of_rows.flatten(0, 1))
        sums = sums.view(len(chosen), y.bins, x.size)
        places = columns.flatten(1)[:, None].expand(-1, y.bins, -1)
        read = sums.gather(2, places).view(len(chosen), y.bins, x.bins, -1)
        output[chosen, 0] = (read * of_columns[:, None]).sum(-1).to(output.dtype)


def _matrix(y: _Axis, x: _Axis, images: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The sparse matrix in parts: RoIs [r], their pixels and weights [r, bins, touched pixels].

    Pixels are indices of [B H W].
    """
    for chosen, touched, samples in _groups(y, x):
        rows, of_rows = y[chosen].pixels(touched[0], samples[0])
        columns, of_columns = x[chosen].pixels(touched[1], samples[1])
        rows = rows + images[chosen, None, None] * y.size
        shape = (len(chosen), y.bins * x.bins, touched[0] * touched[1])
        pixels = _outer(rows * x.size, torch.add, columns).reshape(shape)
        weights = _outer(of_rows, torch.mul, of_columns).reshape(shape)
        yield chosen, pixels, weights


def _groups(
    y: _Axis, x: _Axis, least: int = 1
) -> Iterator[tuple[Tensor, tuple[int, int], tuple[int, int]]]:
    """RoIs [r] whose bins touch about as many pixels, the pixels and the most samples per axis.

    ``least``: numbers that a RoI needs, if they are more than the pixels of its bins.
    """
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    reaches = _rounded(torch.stack((y.reach(), x.reach()), 1))
    # One host read for all RoIs.
    read = torch.cat((reaches, torch.stack((y.grid, x.grid), 1)), 1).tolist()
    for index, (high, wide, *_) in enumerate(read):
        groups[high, wide].append(index)
    for (high, wide), members in groups.items():
        down, right = (max(1, *(read[index][axis] for index in members)) for axis in (2, 3))
        most = max(1, _MOST_ENTRIES // max(y.bins * x.bins * high * wide, least))
        for chosen in torch.tensor(members, device=y.start.device).split(most):
            yield chosen, (high, wide), (down, right)


def _outer(
    along_y: Tensor, operation: Callable[[Tensor, Tensor], Tensor], along_x: Tensor
) -> Tensor:
    """Combine [r, bins, k] and [r, bins, l] to [r, bins, bins, k, l]."""
    return operation(along_y[:, :, None, :, None], along_x[:, None, :, None, :])


def _rounded(counts: Tensor) -> Tensor:
    """Round up, by a quarter at most, so that there are few groups."""
    step = 2 ** (counts.double().log2().floor() - 2).clamp(min=0).long()
    return (counts + step - 1) // step * step


def _inside(points: Tensor, size: int) -> Tensor:
    """Whether a point is less than a pixel outside of the features; others count as 0."""
    return ~((points < -1) | (points > size))


def _bilinear(points: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The two pixels along an axis around each point, and their weights: [..., 2]."""
    moved = points.clamp(0, size - 1)
    low = moved.floor()
    weights = torch.stack((1 - (moved - low), moved - low), -1)
    pixels = torch.stack((low, low + 1), -1).long().clamp_(0, size - 1)
    return pixels, weights * _inside(points, size)[..., None]


def _maximum(
    rows: Tensor,
    y: _Axis,
    x: _Axis,
    images: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
) -> None:
    """Write the largest sample of each bin and its place, of equal ones the first."""
    least = _LEAST if rows.device.type == "cpu" else -torch.finfo(rows.dtype).max
    output.fill_(least)
    argmax_y.fill_(-1)
    argmax_x.fill_(-1)
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, (high, wide) in enumerate(torch.stack((y.grid, x.grid), 1).tolist()):
        if high and wide:
            groups[high, wide].append(index)
    channels = rows.shape[1]
    for (high, wide), members in groups.items():
        each = y.bins * x.bins * high * wide * max(channels, 4)
        for chosen in torch.tensor(members, device=rows.device).split(
            max(1, _MOST_ENTRIES // each)
        ):
            points_y, points_x = y[chosen].points(high), x[chosen].points(wide)
            shape = (len(chosen), y.bins, x.bins, high, wide)
            corners, weights = _corners(
                points_y[:, :, None, :, None].expand(shape),
                points_x[:, None, :, None, :].expand(shape),
                y.size,
                x.size,
            )
            corners += images[chosen].view(-1, 1, 1, 1, 1, 1) * (y.size * x.size)
            values = weighted_sums(rows, corners.view(-1, 4), weights.view(-1, 4))
            values = values.view(*shape[:3], high * wide, channels)
            values = values.masked_fill(values.isnan(), least)
            best, place = values.movedim(-1, 1).max(-1)  # [r, channels, bins, bins]
            found = best > least
            bins_y = torch.arange(y.bins, device=rows.device)[:, None]
            bins_x = torch.arange(x.bins, device=rows.device)
            of = torch.arange(len(chosen), device=rows.device).view(-1, 1, 1, 1)
            results = (
                (output, best),
                (argmax_y, points_y[of, bins_y, place // wide]),
                (argmax_x, points_x[of, bins_x, place % wide]),
            )
            for result, value in results:
                kept = result[chosen]
                result[chosen] = torch.where(found, value.to(kept.dtype), kept)


def _corners(y: Tensor, x: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The four pixels around points, as indices of [H W], and their bilinear weights: [..., 4]."""
    rows, of_rows = _bilinear(y, height)
    columns, of_columns = _bilinear(x, width)
    pixels = rows[..., :, None] * width + columns[..., None, :]
    return pixels.flatten(-2), (of_rows[..., :, None] * of_columns[..., None, :]).flatten(-2)


def _maximum_backward(
    grad_output: Tensor, rois: Tensor, argmax_y: Tensor, argmax_x: Tensor, grad_input: Tensor
) -> None:
    """Add each bin's gradient to the pixels around the sample that it took."""
    channels, height, width = grad_input.shape[1:]
    each = max(1, _MOST_ENTRIES // (4 * grad_output[0].numel()))
    for chosen in torch.arange(len(rois), device=rois.device).split(each):
        y, x = in_single(argmax_y[chosen]), in_single(argmax_x[chosen])
        corners, weights = _corners(y, x, height, width)
        weights = weights * (y != -1)[..., None]  # no sample was taken
        planes = rois[chosen, 0].long()[:, None] * channels
        planes = planes + torch.arange(channels, device=rois.device)
        corners = corners + planes[:, :, None, None, None] * (height * width)
        values = in_single(grad_output[chosen]).reshape(-1, 1)
        sources = torch.arange(len(values), device=rois.device).repeat_interleave(4)
        sums = transposed_sums(
            values, sources, weights.flatten(), corners.flatten(), grad_input.numel()
        )
        grad_input.add_(sums.view(grad_input.shape))
