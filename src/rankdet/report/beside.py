"""Which other row's detections are drawn beside those of a row."""

from __future__ import annotations

from collections.abc import Iterable

from rankdet.catalogue import Entry
from rankdet.catalogue.presets import Preset
from rankdet.report.names import detector_group, family_rank, loss_family


def beside(entry: Entry, others: Iterable[Entry], preset: Preset) -> Entry | None:
    """Return the row to compare with: the same data, if possible the same detector, another loss.

    Preferred are, in this order: another loss with the same detector, another loss with another
    detector, the same loss. Of equal ones the first in the order of the legends (baselines first),
    then of ``others``.

    Args:
        entry: the row.
        others: rows that have or will have detections; ``entry`` itself is left out.
        preset: it says which data set a row has.

    Returns:
        The other row, or None.
    """
    data = preset.data_of(entry.dataset)
    rows = [
        other
        for other in others
        if other.entry_id != entry.entry_id and preset.data_of(other.dataset) == data
    ]

    def order(other: Entry) -> tuple[bool, bool, bool, tuple[int, str]]:
        same_loss = loss_family(other) == loss_family(entry)
        other_detector = detector_group(other) != detector_group(entry)
        # A mask is compared with a mask.
        other_types = other.iou_types != entry.iou_types
        return same_loss, other_detector, other_types, family_rank(loss_family(other))

    return min(rows, key=order, default=None)
