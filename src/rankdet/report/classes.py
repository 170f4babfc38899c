"""The classes of an evaluation: AP, oLRP with its components, and the best score threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankdet.errors import InputError
from rankdet.report.results import LARGEST, is_fraction, read_object

NUMBERS = ("AP", "AP50", "AP75", "oLRP", "oLRP_loc", "oLRP_fp", "oLRP_fn", "oLRP_threshold")


@dataclass(frozen=True)
class ClassRow:
    """One class.

    Attributes:
        category_id: of the annotations.
        name: of the class, as the user wrote it.
        annotations: that count; None if the file does not say.
        numbers: those of `NUMBERS`, from 0 to 1; None if undefined.
    """

    category_id: int
    name: str
    annotations: int | None
    numbers: Mapping[str, float | None]

    @property
    def threshold(self) -> float | None:
        """The score above which detections give the lowest LRP error of the class."""
        return self.numbers["oLRP_threshold"]


def read_classes(path: Path, iou_type: str) -> list[ClassRow]:
    """Return the classes of ``metrics.json``; [] if the file has none.

    Raises:
        InputError: if a row is not as `rankdet evaluate` writes it.
    """
    document = read_object(path, "metrics of an evaluation", "evaluate the entry again")
    found = document.get("per_class", {})
    rows = found.get(iou_type, []) if isinstance(found, dict) else None
    if not isinstance(rows, list):
        raise _bad(path, "something else", iou_type)
    return [_row(path, number, row, iou_type) for number, row in enumerate(rows)]


def _row(path: Path, number: int, row: Any, iou_type: str) -> ClassRow:
    if not isinstance(row, dict):
        raise _bad(path, f"row {number} that is no object", iou_type)
    category, name, count = row.get("category_id"), row.get("name"), row.get("annotations")
    is_right = _is_count(category) and isinstance(name, str) and (count is None or _is_count(count))
    if not is_right:
        raise _bad(path, f"row {number} with another value", iou_type)
    numbers = {key: row.get(key) for key in NUMBERS}
    fractions = [value for key, value in numbers.items() if key != "oLRP_threshold"]
    if not all(map(is_fraction, fractions)) or not _is_score(numbers["oLRP_threshold"]):
        raise _bad(path, f"row {number} with a number that is not from 0 to 1", iou_type)
    return ClassRow(row["category_id"], row["name"], count, numbers)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_score(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value is None or (is_number and abs(value) < LARGEST)  # type: ignore[arg-type]


def _bad(path: Path, got: str, iou_type: str) -> InputError:
    expected = f'{path}: "per_class" with a list "{iou_type}" of category_id, name and numbers'
    return InputError(expected, got, "evaluate the entry again")
