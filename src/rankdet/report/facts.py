"""What a model card, a metafile and a crate state about one run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rankdet.catalogue import Catalogue, PublishedValue
from rankdet.catalogue.official_files import OFFICIAL, official_set
from rankdet.catalogue.presets import Preset
from rankdet.report.names import IOU_NAMES
from rankdet.report.results import Run
from rankdet.report.verdicts import why_not_comparable

TASKS = {"bbox": "Object Detection", "segm": "Instance Segmentation"}


@dataclass(frozen=True)
class Value:
    """One metric of a run in percent.

    Attributes:
        iou_type: bbox or segm.
        metric: a key of ``metrics.json``.
        measured: as measured.
        published: the authors' own value; None if there is none, or the run is not comparable.
        source: where it was published.
    """

    iou_type: str
    metric: str
    measured: float
    published: float | None = None
    source: str = ""

    @property
    def label(self) -> str:
        """Name with the kind of overlap, such as ``box AP``."""
        return f"{IOU_NAMES[self.iou_type]} {self.metric}"


def values_of(run: Run, catalogue: Catalogue, preset: Preset) -> list[Value]:
    """Return every metric of a run that is defined on its data."""
    published: dict[tuple[str | None, str], PublishedValue] = {}
    if not why_not_comparable(run, preset):
        published = {
            (each.iou_type, each.metric): each
            for each in catalogue.official_values(run.entry.entry_id).values()
            if each.value is not None and not each.needs_server
        }
    found = []
    for iou_type, numbers in run.metrics.items():
        for metric in numbers:
            measured = run.metric(iou_type, metric)
            if measured is not None:
                beside = published.get((iou_type, metric))
                value, source = (beside.value, beside.source) if beside else (None, "")
                found.append(Value(iou_type, metric, round(measured, 2), value, source))
    return found


def data_title(run: Run) -> str:
    """Return the data set: an official one by its title if counts and classes agree."""
    official = official_set(run.data)
    if official:
        return OFFICIAL[official].title
    # A set that only has the name of an official one must not pass as it.
    name = run.data_name
    return f"{name} (not {OFFICIAL[name].title})" if name in OFFICIAL else name or "unknown"


def period(run: Run) -> tuple[str, str] | None:
    """Return when the training started and ended, in ISO 8601, UTC; None if that is unknown."""
    sessions = _sessions(run)
    if not sessions:
        return None
    first, last = sessions[0], sessions[-1]
    end = last[0] + timedelta(seconds=last[1])
    return first[0].isoformat(timespec="seconds"), end.isoformat(timespec="seconds")


def _sessions(run: Run) -> list[tuple[datetime, float]]:
    found = []
    sessions = run.record.get("sessions")
    for session in sessions if isinstance(sessions, list) else []:
        if not isinstance(session, dict):
            continue
        try:
            started = datetime.fromisoformat(session["started"]).astimezone(UTC)
            end = started + timedelta(seconds=float(session["seconds"]))
            found.append((started, (end - started).total_seconds()))
        except (KeyError, TypeError, ValueError, OverflowError):
            continue  # an older or an edited record
    return found


def machine_of(run: Run) -> dict[str, Any]:
    """Return what run.json says about the machine, without empty values."""
    return _given(run.record.get("machine"))


def versions_of(run: Run) -> dict[str, Any]:
    """Return the versions in run.json, without empty values."""
    return _given(run.record.get("versions"))


def _given(values: object) -> dict[str, Any]:
    if not isinstance(values, dict):
        return {}
    return {str(name): value for name, value in values.items() if value is not None}


def hardware(run: Run) -> str:
    """Return GPU or processor with the number of processes; "" if unknown."""
    machine = machine_of(run)
    device = machine.get("gpu") or machine.get("cpu")
    if not device:
        return ""
    processes = run.record.get("processes")
    count = processes if isinstance(processes, int) and machine.get("gpu") else 1
    cores = machine.get("cores")
    threads = f", {cores} cores" if cores and not machine.get("gpu") else ""
    return f"{count}x {device}{threads}"
