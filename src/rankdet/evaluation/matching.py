"""Greedy matching of every image, category, threshold and area range at once.

Detections of different images or categories do not compete, so the first candidate-bearing
detection of every group is matched in one step, then the second of every group, and so on. Only
detections with a sufficient overlap take part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rankdet.evaluation.overlaps import Candidates

CANDIDATES_AT_ONCE = 1 << 14


@dataclass(frozen=True)
class Matches:
    """The matches of the M detections that have candidates; T thresholds, A area ranges."""

    detection: np.ndarray  # [M] into Arrangement.row, ascending
    is_matched: np.ndarray  # [M, T, A]
    is_true: np.ndarray  # [M, T, A] matched to an annotation that counts
    iou: np.ndarray  # [M, A] with its match at the lowest threshold; 0 without one


def match(
    candidates: Candidates,
    group: np.ndarray,
    thresholds: np.ndarray,
    is_ignored: np.ndarray,
    is_crowd: np.ndarray,
) -> Matches:
    """Match detections in descending score to the free annotation of the highest IoU.

    An annotation that counts is preferred to an ignored one; among equal IoUs the last in file
    order wins; a crowd may be matched any number of times (COCO toolkit, evaluateImg).

    Args:
        candidates: the C pairs that overlap enough.
        group: number of each detection's (category, image) group [N].
        thresholds: ascending IoU thresholds [T].
        is_ignored: annotations that do not count, per area range [G, A].
        is_crowd: [G].
    """
    limits = np.minimum(thresholds, 1 - 1e-10)
    shape = (len(limits), is_ignored.shape[1])
    is_first = np.ones(len(candidates.detection), dtype=bool)
    is_first[1:] = candidates.detection[1:] != candidates.detection[:-1]
    number = np.cumsum(is_first) - 1  # of each candidate's detection, among the M
    detection = candidates.detection[is_first]
    turn = _turns(group[detection])
    order = np.lexsort((candidates.annotation, candidates.iou, number, turn[number]))

    taken = np.zeros((len(is_ignored), *shape), dtype=bool)
    result = Matches(
        detection,
        np.zeros((len(detection), *shape), dtype=bool),
        np.zeros((len(detection), *shape), dtype=bool),
        np.zeros((len(detection), shape[1])),
    )
    for block in _blocks(turn[number[order]], number[order]):
        pairs = order[block]
        _match_block(
            result,
            number[pairs],
            candidates.annotation[pairs],
            candidates.iou[pairs],
            limits,
            is_ignored,
            is_crowd,
            taken,
        )
    return result


def _turns(group: np.ndarray) -> np.ndarray:
    """Return each detection's place among the candidate-bearing detections of its group."""
    is_first = np.ones(len(group), dtype=bool)
    is_first[1:] = group[1:] != group[:-1]
    starts = np.flatnonzero(is_first)
    return np.arange(len(group)) - starts[np.cumsum(is_first) - 1]


def _blocks(turn: np.ndarray, number: np.ndarray) -> Iterator[slice]:
    """Yield slices of candidates of one turn, not too long, never cutting a detection."""
    edges = np.flatnonzero(np.diff(turn)) + 1
    for start, stop in zip([0, *edges], [*edges, len(turn)], strict=True):
        while start < stop:
            cut = min(start + CANDIDATES_AT_ONCE, stop)
            while cut < stop and number[cut] == number[cut - 1]:
                cut += 1
            yield slice(start, cut)
            start = cut


def _match_block(
    result: Matches,
    number: np.ndarray,
    annotation: np.ndarray,
    iou: np.ndarray,
    limits: np.ndarray,
    is_ignored: np.ndarray,
    is_crowd: np.ndarray,
    taken: np.ndarray,
) -> None:
    """Match detections of different groups; candidates ascend by detection, IoU, file order."""
    count = len(number)
    is_first = np.ones(count, dtype=bool)
    is_first[1:] = number[1:] != number[:-1]
    starts = np.flatnonzero(is_first)
    # The later of two candidates is the better one; annotations that count beat all ignored ones.
    preference = np.arange(count)[:, None] + np.where(is_ignored[annotation], 0, count)
    is_open = ~taken[annotation] & (iou[:, None] >= limits)[:, :, None]
    value = np.where(is_open, preference[:, None, :].astype(np.int32), np.int32(-1))
    best = value if len(starts) == count else np.maximum.reduceat(value, starts, axis=0)

    is_matched = best >= 0
    choice = np.where(best >= count, best - count, best)
    rows = number[starts]
    result.is_matched[rows] = is_matched
    result.is_true[rows] = best >= count
    result.iou[rows] = np.where(is_matched[:, 0], iou[choice[:, 0]], 0.0)
    detection, threshold, area_range = np.nonzero(is_matched)
    chosen = annotation[choice[detection, threshold, area_range]]
    keeps = ~is_crowd[chosen]
    taken[chosen[keeps], threshold[keeps], area_range[keeps]] = True
