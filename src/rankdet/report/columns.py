"""The columns of a published table: which metric of which split, in which order."""

from __future__ import annotations

from dataclasses import dataclass

from rankdet.catalogue import Catalogue, Table
from rankdet.report.names import IOU_NAMES

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf", "oLRP")
TIME = "iteration_time_s"
_IOU_TYPES = ("bbox", "segm", None)


@dataclass(frozen=True)
class Column:
    """One metric of a table.

    Attributes:
        split: data set and split of the published values.
        iou_type: bbox, segm, or None for a time.
        metric: a key of ``metrics.json``, or ``iteration_time_s``.
        heading: text above the column.
    """

    split: str
    iou_type: str | None
    metric: str
    heading: str

    @property
    def key(self) -> tuple[str, str | None, str]:
        """As `rankdet.catalogue.PublishedValue.key`."""
        return self.split, self.iou_type, self.metric

    @property
    def is_validation(self) -> bool:
        """Whether ``rankdet evaluate`` can measure it; others need a test server."""
        return self.metric in METRICS and "test" not in self.split


def columns_of(table: Table, catalogue: Catalogue) -> tuple[Column, ...]:
    """Return the columns of ``table``: validation, then test-dev, then times; box before mask."""
    keys = {key for entry in table.entries for key in catalogue.official_values(entry.entry_id)}
    validation = {key[:2] for key in keys if key[2] in METRICS and "test" not in key[0]}
    for split, iou_type in validation or _expected(table):
        keys |= {(split, iou_type, "AP"), (split, iou_type, "oLRP")}
    both = {"bbox", "segm"} <= {key[1] for key in keys}
    return tuple(Column(*key, _heading(key, both)) for key in sorted(keys, key=_rank))


def _expected(table: Table) -> set[tuple[str, str]]:
    """Validation split and IoU types of a table without a published figure."""
    return {
        (f"{entry.dataset}_val", iou_type)
        for entry in table.entries
        for iou_type in entry.iou_types
    }


def _rank(key: tuple[str, str | None, str]) -> tuple[int, int, int, str]:
    split, iou_type, metric = key
    place = 2 if metric == TIME else int("test" in split)
    order = METRICS.index(metric) if metric in METRICS else len(METRICS)
    return place, _IOU_TYPES.index(iou_type), order, metric


def _heading(key: tuple[str, str | None, str], both: bool) -> str:
    split, iou_type, metric = key
    if metric == TIME:
        return "s / iteration"
    kind = f"{IOU_NAMES[iou_type]} " if iou_type == "segm" or (both and iou_type) else ""
    return f"{kind}{metric}{' (test-dev)' if 'test' in split else ''}"
