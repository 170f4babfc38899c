"""Greedy non-maximum suppression of boxes: the indices that compiled mmcv keeps, in its order.

Boxes are taken in the order of ``scores.sort(descending=True)``; a box is kept unless a kept box
before it overlaps it with an IoU above the threshold. Equal scores stand in the order that torch's
sort gives them, which is not stable; mmcv calls the same sort, so on the same machine and the same
torch the order is the same. The arithmetic is mmcv's, operation by operation, in float32: on the
CPU the IoU is divided and then compared, elsewhere the intersection is compared with the threshold
times the union. So boxes whose IoU is the threshold are decided alike (on a GPU up to the last
bit, where its compiler joins a product and a sum). A box with NaN is kept and removes nothing.

On the CPU: NumPy. In larger sets, boxes that are separate along x cannot touch: they are split
into parts, which in batched NMS are the classes. Elsewhere: matrices of up to 2048 x 2048 boxes,
no loop over boxes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rankdet.errors import InputError

_Array = NDArray[np.float32]
_Mask = NDArray[np.bool_]
_Indices = NDArray[np.int64]
_BLOCK = 32  # boxes of a large part that are compared at once
_WHOLE = 320  # so few boxes are compared all with all
_SMALL = 64  # a part of at most so many boxes is compared as a whole, with others of its size
_DEVICE_BLOCK = 2048  # its matrices take 16 MiB each
_ROUNDS = 8  # between two host reads


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the indices of the boxes that are kept, by descending score.

    Args:
        boxes: [n, 4] float32: x1, y1, x2, y2.
        scores: [n].
        iou_threshold: a box is removed if its IoU with a kept one is larger.
        offset: added to widths and heights, 0 or 1.

    Returns:
        [kept] int64, on the device of ``boxes``.

    Raises:
        InputError: if the boxes are not float32, which compiled mmcv refuses as well.
    """
    if boxes.dtype != torch.float32:
        raise InputError("float32 boxes", f"{boxes.dtype}", "call boxes.float()")
    if len(boxes) == 0:
        return boxes.new_empty(0, dtype=torch.int64)
    order = scores.detach().sort(0, descending=True)[1]
    ranked = boxes.detach().index_select(0, order)
    threshold = float(np.float32(iou_threshold))  # as compiled mmcv reads it
    if boxes.device.type == "cpu":
        return order[torch.from_numpy(_kept_on_cpu(ranked.numpy(), threshold, offset))]
    return order[_kept_on_device(ranked, threshold, offset)]


def _kept_on_cpu(boxes: _Array, threshold: float, offset: int) -> _Indices:
    """Ranks [kept], ascending, of boxes [n, 4] that are ordered by score."""
    with np.errstate(all="ignore"):  # 0/0 of empty boxes, infinite boxes
        fields = np.empty((5, len(boxes)), np.float32)
        fields[:4] = boxes.T
        x1, y1, x2, y2 = fields[:4]
        fields[4] = (x2 - x1 + np.float32(offset)) * (y2 - y1 + np.float32(offset))
        if len(boxes) <= _WHOLE or not threshold >= 0:  # boxes that do not touch remove each other
            return _kept_of_part(fields, threshold, offset)
        order, starts = _parts(x1, x2, offset)
        sizes = np.diff(starts, append=len(boxes))
        found = [order[starts[sizes == 1]]]
        for size in _sizes(sizes):
            chosen = (sizes > size // 2) & (sizes <= size)
            found.append(_kept_of_small(fields, order, starts[chosen], sizes[chosen], threshold,
                                        offset))  # fmt: skip
        for large in np.flatnonzero(sizes > _SMALL):
            members = order[starts[large] : starts[large] + sizes[large]]
            found.append(members[_kept_of_part(fields[:, members], threshold, offset)])
    return np.sort(np.concatenate(found))


def _parts(x1: _Array, x2: _Array, offset: int) -> tuple[_Indices, _Indices]:
    """Split boxes where none reaches across: indices [n] part by part, where each part starts.

    Within a part the indices ascend. Two boxes of different parts have a width of overlap
    x2 - x1 + offset <= 0, in float32 as well, because rounding keeps the order.
    """
    by_left = np.argsort(x1, kind="stable")
    reach = np.maximum.accumulate(x2[by_left])
    starts = np.empty(len(x1), bool)
    starts[0] = True
    starts[1:] = (reach[:-1] - x1[by_left[1:]]) + np.float32(offset) <= 0
    part = np.empty(len(x1), np.int64)
    part[by_left] = np.cumsum(starts)
    order = np.argsort(part, kind="stable")
    return order, np.flatnonzero(starts)


def _sizes(sizes: _Indices) -> list[int]:
    """Powers of two above 1 up to the largest small part."""
    small = sizes[(sizes > 1) & (sizes <= _SMALL)]
    return [2**k for k in range(1, int(small.max() - 1).bit_length() + 1)] if len(small) else []


def _kept_of_small(
    fields: _Array,
    order: _Indices,
    starts: _Indices,
    sizes: _Indices,
    threshold: float,
    offset: int,
) -> _Indices:
    """Indices of the kept boxes of parts of similar size, all parts at once."""
    if len(starts) == 0:
        return np.empty(0, np.int64)
    places = np.arange(sizes.max())
    present = places < sizes[:, None]
    members = order[np.where(present, starts[:, None] + places, starts[:, None])]
    boxes = fields[:, members]
    removes = _overlap(*_pairs(boxes), threshold, offset)
    kept = present.copy()
    for place in places[:-1]:
        later = kept[:, place + 1 :]
        later &= ~(removes[:, place, place + 1 :] & kept[:, place, None])
    return members[kept]


def _kept_of_part(fields: _Array, threshold: float, offset: int) -> _Indices:
    """Indices of the kept boxes: block by block, each removes boxes from all that follow."""
    if fields.shape[1] <= _WHOLE:
        return np.array(_greedy(_overlap(*_pairs(fields), threshold, offset)), np.int64)
    left = np.arange(fields.shape[1])
    kept = []
    while len(left):
        block = fields[:, :_BLOCK]
        removes = _overlap(*_pairs(block), threshold, offset)
        chosen = _greedy(removes)
        kept.append(left[chosen])
        fields, left = fields[:, len(removes) :], left[len(removes) :]
        rows = block[:, chosen, None]
        stays = np.flatnonzero(~_overlap(rows, fields[:, None, :], threshold, offset).any(0))
        fields, left = fields[:, stays], left[stays]
    return np.concatenate(kept)


def _greedy(removes: _Mask) -> list[int]:
    """Return the rows that are kept if each removes later ones: rows as integers of bits."""
    rows = [int.from_bytes(row.tobytes(), "little")
            for row in np.packbits(removes, axis=1, bitorder="little")]  # fmt: skip
    gone, kept = 0, []
    for place, row in enumerate(rows):
        if not gone >> place & 1:
            kept.append(place)
            gone |= row
    return kept


def _pairs(fields: _Array) -> tuple[_Array, _Array]:
    """Fields [5, ..., n] as rows [5, ..., n, 1] and columns [5, ..., 1, n]."""
    return fields[..., :, None], fields[..., None, :]


def _overlap(rows: _Array, columns: _Array, threshold: float, offset: int) -> _Mask:
    """Whether the IoU is above the threshold: fields [5, ...] of boxes and areas, broadcast."""
    width = np.minimum(rows[2], columns[2])
    width -= np.maximum(rows[0], columns[0])
    height = np.minimum(rows[3], columns[3])
    height -= np.maximum(rows[1], columns[1])
    for side in (width, height):
        if offset:
            side += np.float32(offset)
        np.maximum(side, 0, out=side)
    width *= height
    np.add(rows[4], columns[4], out=height)
    height -= width
    width /= height
    found: _Mask = width > np.float32(threshold)
    return found


def _kept_on_device(boxes: Tensor, threshold: float, offset: int) -> Tensor:
    """Ranks [kept] of boxes [n, 4] that are ordered by score, without a loop over boxes."""
    x1, y1, x2, y2 = boxes.unbind(1)
    fields = torch.stack((x1, y1, x2, y2, (x2 - x1 + offset) * (y2 - y1 + offset)))
    kept = torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
    for start in range(0, len(boxes), _DEVICE_BLOCK):
        block = slice(start, start + _DEVICE_BLOCK)
        rows = fields[:, block, None]
        removes = _overlap_on_device(rows, fields[:, None, block], threshold, offset).triu_(1)
        chosen = _fixed_point(removes, kept[block])
        kept[block] = chosen
        for other in range(start + _DEVICE_BLOCK, len(boxes), _DEVICE_BLOCK):
            later = slice(other, other + _DEVICE_BLOCK)
            over = _overlap_on_device(rows, fields[:, None, later], threshold, offset)
            kept[later] &= ~(over & chosen[:, None]).any(0)
    return kept.nonzero().squeeze(1)


def _fixed_point(removes: Tensor, candidates: Tensor) -> Tensor:
    """Return what the greedy choice keeps of candidates [n], from a strict upper triangle [n, n].

    A box stays if no box that stays removes it. From all candidates on, each round settles at
    least one box more in the order of the scores, so n rounds always suffice; in practice the
    chains of boxes that remove each other are short. The only solution is the greedy one.
    """
    kept = candidates
    while True:
        for _ in range(_ROUNDS):
            before, kept = kept, candidates & ~(removes & kept[:, None]).any(0)
        if torch.equal(before, kept):
            return kept


def _overlap_on_device(rows: Tensor, columns: Tensor, threshold: float, offset: int) -> Tensor:
    """Whether the intersection is above the threshold times the union, as on mmcv's GPU."""
    sides: list[Any] = []
    for low in (0, 1):
        side = torch.fmin(rows[low + 2], columns[low + 2]) - torch.fmax(rows[low], columns[low])
        sides.append((side + offset).clamp_(min=0))
    shared = sides[0].mul_(sides[1])
    return shared > threshold * (rows[4] + columns[4] - shared)
