"""AP and oLRP with a whole number as the weight of each image, from one matching pass.

A weight of two stands for an image that is in the data set twice, side by side; zero leaves it out.
Matches do not depend on other images, so that a new set of weights needs no new matching.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rankdet.evaluation.average_precision import EPSILON, RECALL_LEVELS, ScoredMatches
from rankdet.evaluation.columns import GroundTruth
from rankdet.evaluation.evaluator import uncounted
from rankdet.evaluation.lrp import TAU

EVENTS_AT_ONCE = 1 << 15  # the temporaries of a block stay in the cache


@dataclass(frozen=True)
class WeightedErrors:
    """Of each class; NaN where the weighted images hold none of its annotations."""

    ap: np.ndarray  # [T, K] average precision at each IoU threshold
    olrp: np.ndarray  # [K]


@dataclass(frozen=True)
class Counted:
    """How many annotations count on each image, for the images and classes that have any.

    P pairs of class and image, ascending by class.
    """

    category: np.ndarray  # [P]
    image: np.ndarray  # [P]
    number: np.ndarray  # [P]
    categories: int
    images: int

    @classmethod
    def of(cls, truth: GroundTruth) -> Counted:
        """Count the annotations of all areas."""
        rows = ~uncounted(truth)[:, 0]
        key = truth.pair_key(truth.image[rows], truth.category[rows])
        pairs, number = np.unique(key, return_counts=True)
        images = len(truth.image_ids)
        category, image = np.divmod(pairs, images)
        return cls(category, image, number, len(truth.category_ids), images)

    def weighted(self, weight: np.ndarray) -> np.ndarray:
        """Return the annotations of each class [K] on images of these weights [I]."""
        number = weight[self.image] * self.number
        counts = np.bincount(self.category, weights=number, minlength=self.categories)
        return counts.astype(np.int64)


@dataclass(frozen=True)
class _Events:
    """True positives of some thresholds: by threshold, class, then in score order.

    E events in S segments, one for each threshold and class that has any. Detections that match an
    annotation that does not count are no false positives either: they are "spared".
    """

    thresholds: slice
    image: np.ndarray  # [E]
    stop: np.ndarray  # [E] costing detections up to and including it, of all classes
    costs: np.ndarray | None  # [E] would cost if it were unmatched; None if all would
    spared_image: np.ndarray  # of the spared detections
    spared_stop: np.ndarray  # [E] spared detections before it
    spared_start: np.ndarray  # [S] likewise before the segment
    segment: np.ndarray  # [E]
    offset: np.ndarray  # [E] falls from segment to segment
    first: np.ndarray  # [S] of its events
    category: np.ndarray  # [S]
    threshold: np.ndarray  # [S] counted from the first one of the block
    doubled_distance: np.ndarray | None  # [E] (1 - IoU) / (1 - tau); None without tau


class WeightedMatches:
    """The matches of a result, prepared for many sets of weights.

    Precision rises and the LRP error falls only at true positives, and within a true positive that
    counts several times as well. Between them nothing else has to be looked at.

    Args:
        matches: in score order; the first threshold is tau of LRP.
        counted: the annotations that count.
    """

    def __init__(self, matches: ScoredMatches, counted: Counted) -> None:
        costs = matches.costs[0] & _is_before_a_match(matches, counted.categories)
        self._counted = counted
        self._thresholds = matches.is_true.shape[1]
        self._costing = matches.image[costs].astype(np.intp)
        # Reused: fresh memory for half a million numbers costs as much as their sums.
        self._weights = np.empty(len(self._costing), dtype=np.int32)
        self._sums = np.zeros(len(self._costing) + 1, dtype=np.int32)
        before = _before(costs)
        self._start = before[np.searchsorted(matches.category, np.arange(counted.categories))]
        self._blocks = list(_blocks(matches, before))

    def errors(self, weight: np.ndarray) -> WeightedErrors:
        """Return AP and oLRP of every class.

        Args:
            weight: whole numbers, of each image [I].

        Returns:
            The errors; NaN for classes without annotations on these images.
        """
        weight = weight.astype(np.int32)
        counts = self._counted.weighted(weight)
        np.take(weight, self._costing, out=self._weights, mode="clip")
        np.cumsum(self._weights, out=self._sums[1:])
        table_start, levels = _levels_reached(counts)
        ap = np.zeros((self._thresholds, len(counts)))
        olrp = np.ones(len(counts))
        for events in self._blocks:
            true, counted = self._counts(events, weight)
            value = true / (counted + EPSILON)
            reached = levels[(table_start[events.category])[events.segment] + true]
            newly = np.diff(reached, prepend=np.int32(0))
            newly[events.first] = reached[events.first]
            value += events.offset
            envelope = np.maximum.accumulate(value[::-1])[::-1]
            envelope -= events.offset
            envelope *= newly
            sums = np.add.reduceat(envelope, events.first)
            ap[events.thresholds][events.threshold, events.category] = sums / len(RECALL_LEVELS)
            if events.doubled_distance is not None:
                _lowest_lrp(olrp, events, weight, counts, true, counted)
        is_absent = counts == 0
        ap[:, is_absent] = np.nan
        olrp[is_absent] = np.nan
        return WeightedErrors(ap, olrp)

    def _counts(self, events: _Events, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the weighted true positives of the class up to each event, and all that cost [E].

        The second are true and false positives.
        """
        each = weight[events.image]
        true = _sums(each, events)
        counted = self._sums[events.stop]
        begin = self._sums[self._start[events.category]]
        if len(events.spared_image):
            spared = _before(weight[events.spared_image])
            counted -= spared[events.spared_stop]
            begin -= spared[events.spared_start]
        counted -= begin[events.segment]
        if events.costs is not None:  # LVIS: a true positive where the class is partly labeled
            counted += _sums(each * ~events.costs, events)
        return true, counted


def _is_before_a_match(matches: ScoredMatches, categories: int) -> np.ndarray:
    """Return which detections [N] are not behind the last match of their class.

    Those behind it change nothing.
    """
    last = np.full(categories, -1)
    last[matches.category[matches.position]] = matches.position  # ascending: the last one stays
    return np.arange(len(matches.category)) <= last[matches.category]


def _before(weight: np.ndarray) -> np.ndarray:
    """Return the sums of the weights before each place, and of all of them."""
    sums = np.zeros(len(weight) + 1, dtype=np.int32)
    np.cumsum(weight, out=sums[1:])
    return sums


def _sums(weight: np.ndarray, events: _Events) -> np.ndarray:
    """Return the sum of the weights of the events of a segment up to each [E]."""
    sums = np.cumsum(weight, dtype=np.int32)
    before = np.zeros(len(events.first), dtype=np.int32)
    before[1:] = sums[events.first[1:] - 1]
    sums -= before[events.segment]
    return sums


def _lowest_lrp(
    olrp: np.ndarray,
    events: _Events,
    weight: np.ndarray,
    counts: np.ndarray,
    true: np.ndarray,
    counted: np.ndarray,
) -> None:
    """Put the lowest LRP error at the events of the first threshold into ``olrp`` [K]."""
    assert events.doubled_distance is not None
    segments = int(np.searchsorted(events.threshold, 1))
    stop = int(events.first[segments]) if segments < len(events.first) else len(events.image)
    first, segment = events.first[:segments], events.segment[:stop]
    sums = np.cumsum(weight[events.image[:stop]] * events.doubled_distance[:stop])
    before = np.zeros(segments)
    before[1:] = sums[first[1:] - 1]
    number = counts[events.category[:segments]][segment]
    wrong = counted[:stop] - 2 * true[:stop] + number  # false positives and misses
    error = sums - before[segment]
    error += wrong
    # A class without annotations is absent, whatever the value here.
    error /= np.maximum(wrong + true[:stop], 1)
    lowest = np.minimum.reduceat(error, first)
    olrp[events.category[:segments]] = np.minimum(lowest, 1.0)


def _levels_reached(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a table of the recall levels that 0, 1, ..., n true positives of n reach.

    Args:
        counts: the annotations of each class [K].

    Returns:
        Where each class starts [K], and the levels of all classes [sum of n + 1]. Without a true
        positive none is reached: the precision at level 0 is that of the first one.
    """
    sizes = counts + 1
    start = np.cumsum(sizes) - sizes
    true = np.arange(int(sizes.sum())) - np.repeat(start, sizes)
    recall = true / np.repeat(np.maximum(counts, 1), sizes)
    last = len(RECALL_LEVELS) - 1
    level = (recall * last).astype(np.int32)
    # The product is rounded, and so are the levels: as the comparison of numbers decides.
    level -= RECALL_LEVELS[level] > recall
    level += RECALL_LEVELS[np.minimum(level + 1, last)] <= recall
    level = np.minimum(level, last) + 1
    level[start] = 0
    return start, level.astype(np.int32)


def _blocks(matches: ScoredMatches, before: np.ndarray) -> Iterator[_Events]:
    """Yield the events of one or more thresholds.

    Args:
        matches: in score order.
        before: costing detections before each place in score order [N + 1].

    Yields:
        The events, all thresholds in turn.
    """
    sizes = matches.is_true[0].sum(axis=1)
    start = 0
    while start < len(sizes):
        stop = start + 1
        while stop < len(sizes) and sizes[start : stop + 1].sum() <= EVENTS_AT_ONCE:
            stop += 1
        if sizes[start:stop].sum():
            yield _events(matches, before, slice(start, stop))
        start = stop


def _events(matches: ScoredMatches, before: np.ndarray, chosen: slice) -> _Events:
    """Return the events of the thresholds ``chosen``."""
    costs = matches.costs[0][matches.position]
    true = matches.is_true[0, chosen]  # [T, M]
    spared = matches.is_matched[0, chosen] & ~true & costs
    threshold, detection = np.nonzero(true)
    position = matches.position[detection]
    category = matches.category[position]
    is_first = np.ones(len(position), dtype=bool)
    is_first[1:] = (threshold[1:] != threshold[:-1]) | (category[1:] != category[:-1])
    first = np.flatnonzero(is_first)
    segment = np.cumsum(is_first) - 1
    # One number for the place of a detection at a threshold, ascending.
    detections = len(matches.category)
    spared_threshold, spared_detection = np.nonzero(spared)
    spared_position = matches.position[spared_detection]
    spared_key = spared_threshold * detections + spared_position
    class_start = np.searchsorted(matches.category, category[first])
    has_cost = costs[detection]
    return _Events(
        thresholds=chosen,
        image=matches.image[position].astype(np.intp),
        stop=before[position + 1].astype(np.intp),
        costs=None if has_cost.all() else has_cost,
        spared_image=matches.image[spared_position].astype(np.intp),
        spared_stop=np.searchsorted(spared_key, threshold * detections + position),
        spared_start=np.searchsorted(spared_key, threshold[first] * detections + class_start),
        segment=segment,
        offset=(len(first) - 1 - segment).astype(float),
        first=first,
        category=category[first],
        threshold=threshold[first],
        doubled_distance=(
            (1 - matches.iou[0, detection]) / (1 - TAU) if chosen.start == 0 else None
        ),
    )
