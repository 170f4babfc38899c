"""The page of one run: results, curves, classes, settings, sample images, provenance, log."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rankdet.catalogue import Catalogue, State
from rankdet.catalogue.presets import Preset
from rankdet.errors import InputError
from rankdet.hashing import file_sha256
from rankdet.outputs import write_text
from rankdet.report.again import commands, workflow_command
from rankdet.report.classes import ClassRow, read_classes
from rankdet.report.columns import TIME, columns_of
from rankdet.report.figures import draw_figures
from rankdet.report.formats import environment
from rankdet.report.links import NAME, ROOT
from rankdet.report.names import IOU_NAMES, detector_group, loss_color, loss_family, printable
from rankdet.report.page import METRICS, ShownFigure, heading, shown_figure
from rankdet.report.pictures import MOST, Sample, ValData, samples
from rankdet.report.results import Result, Run
from rankdet.report.tables import figure
from rankdet.report.verdicts import comparisons, row_verdict
from rankdet.times import duration

LOG_LINES = 40
LOG_BYTES = 64 * 1024  # read from the end of the log
LOG_WIDTH = 400  # characters of a line
MANY_CLASSES = 40  # more scroll in a box of their own
FILES = (
    *("metrics.json", "curves.json", "detections.json", "run.json", "training.jsonl"),
    *("checkpoint.pth", "weights.json"),
)
_ESCAPE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)?")
CURVES = ("training", "loss_terms", "precision_recall", "lrp", "correlation")  # of one run


@dataclass(frozen=True)
class Sources:
    """What a page needs besides the results of its run.

    Attributes:
        preset: of the run.
        catalogue: for published values.
        states: of the entries, for verdicts.
        val: the val images by entry id, or the reason why there are none.
        logs: folder with ``<entry>/train.log``; None for no logs.
        others: the row to compare with by entry id.
    """

    preset: Preset
    catalogue: Catalogue
    states: Mapping[str, State]
    val: Mapping[str, ValData | str] = field(default_factory=dict)
    logs: Path | None = None
    others: Mapping[str, Result | None] = field(default_factory=dict)


@dataclass(frozen=True)
class MetricRow:
    """One metric of a run: published value and own value as printed, and the verdict in words."""

    name: str
    published: str
    measured: str
    verdict: str


def write_runs(results: Mapping[str, Result], folder: Path, sources: Sources) -> list[Path]:
    """Write the page of every run below ``folder``, the results of the preset.

    Returns:
        The paths, ``<folder>/<entry>[/seed-<n>]/run.html``.
    """
    paths = []
    for result in results.values():
        for run in result.runs:
            path = folder / run.place / NAME
            write_text(path, render_run(run, result, sources))
            paths.append(path)
    return paths


def render_run(run: Run, result: Result, sources: Sources) -> str:
    """Return the page of ``run``, one of the runs of ``result``."""
    preset, entry = sources.preset, run.entry
    drawn, no_pictures = _pictures(run, sources)
    log, no_log = log_tail(sources.logs, run.place)
    depth = "../" * (run.place.count("/") + 1)
    classes = {kind: read_classes(run.folder / "metrics.json", kind) for kind in run.metrics}
    return (
        environment()
        .get_template("run.html.j2")
        .render(
            preset=preset,
            entry=entry,
            run=run,
            family=loss_family(entry),
            color=loss_color(loss_family(entry)),
            detector=detector_group(entry),
            heading_of_table=sources.catalogue.table(entry.table_slug).title,
            verdict=_verdict(result, sources),
            home=depth + ROOT,
            seeds=[
                (f"seed {other.seed}", None if other is run else f"../{other.folder.name}/{NAME}")
                for other in result.runs
                if len(result.runs) > 1
            ],
            metrics=metric_rows(run, sources),
            overview=_overview(run),
            headings=[heading(name) for name in METRICS],
            figures=_figures(run, sources),
            classes=[(IOU_NAMES[kind], rows) for kind, rows in classes.items() if rows],
            class_row=class_cells,
            many=MANY_CLASSES,
            most=MOST,
            samples=drawn,
            no_pictures=no_pictures,
            config=config_text(run.record),
            differences=run.record.get("differences"),
            details=_facts(run),
            hashes=_hashes(run),
            machine=_shown(run.record.get("machine")),
            versions=_shown(run.record.get("versions")),
            log=log,
            no_log=no_log,
            commands=commands(run, preset),
            workflow=workflow_command(run, preset),
            code=_commit(run),
            files=[name for name in FILES if (run.folder / name).is_file()],
        )
    )


def metric_rows(run: Run, sources: Sources) -> list[MetricRow]:
    """Return the published metrics of the entry beside those of this run alone."""
    entry, preset = run.entry, sources.preset
    columns = columns_of(sources.catalogue.table(entry.table_slug), sources.catalogue)
    state = sources.states[entry.entry_id]
    found = comparisons(entry, columns, sources.catalogue, Result((run,)), preset, state)
    return [
        MetricRow(
            name=column.heading,
            published=cell.remark or figure(cell.published, 2 if column.metric == TIME else 1),
            measured=figure(cell.measured, 2 if column.metric == TIME else 1),
            verdict=cell.text if cell.published is not None else "",
        )
        for column, cell in zip(columns, found, strict=True)
    ]


def _verdict(result: Result, sources: Sources) -> str:
    """Return the verdict of the row, of all its runs, as in the table."""
    entry, preset = result.entry, sources.preset
    columns = columns_of(sources.catalogue.table(entry.table_slug), sources.catalogue)
    state = sources.states[entry.entry_id]
    cells = comparisons(entry, columns, sources.catalogue, result, preset, state)
    return row_verdict(columns, cells, result, preset, state)[1]


def _overview(run: Run) -> list[tuple[str, list[str]]]:
    return [
        (IOU_NAMES[kind], [figure(run.metric(kind, name)) for name in METRICS])
        for kind in run.metrics
    ]


def _figures(run: Run, sources: Sources) -> list[ShownFigure]:
    """Return the curves of the run alone."""
    own = {run.entry.entry_id: Result((run,))}
    drawings = draw_figures(sources.catalogue, own, sources.preset)
    return [shown_figure(name, drawings[name]) for name in CURVES]


def class_cells(row: ClassRow) -> list[tuple[str, str]]:
    """Return (as printed, as sorted) of each number: AP and LRP in percent, then the threshold."""
    cells = []
    for name, value in row.numbers.items():
        factor, decimals = (1, 3) if name == "oLRP_threshold" else (100, 1)
        shown = figure(None if value is None else factor * value, decimals)
        cells.append((shown, "" if value is None else repr(float(value))))
    return cells


def _pictures(run: Run, sources: Sources) -> tuple[list[Sample], str]:
    """Return the sample images, or why there are none."""
    name = run.entry.entry_id
    data = sources.val.get(name, "the data set was not given (option --data)")
    if isinstance(data, str):
        return [], data
    if not (run.folder / "detections.json").is_file():
        return [], "detections.json is missing"
    runs = [(f"{loss_family(run.entry)} (this run)", run)]
    other = sources.others.get(name)
    if other is not None and (other.folder / "detections.json").is_file():
        runs.append((f"{loss_family(other.entry)} ({other.entry.entry_id})", other.first))
    try:
        drawn = samples(runs, data)
    except InputError as error:
        return [], printable(f"expected {error.expected}; got {error.got}")
    return drawn, "" if drawn else "no val image has annotations"


def config_text(record: Mapping[str, Any]) -> str:
    """Return the resolved config of ``run.json`` as YAML; '' if it has none."""
    config = record.get("config")
    if not config:
        return ""
    text: str = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100)
    return text


def log_tail(logs: Path | None, place: str) -> tuple[list[str], str]:
    """Return the last lines of the training's log, or why there are none.

    Control characters are removed; of a line that was overwritten only its last state is kept.
    """
    path = logs / place / "train.log" if logs is not None else None
    if path is None or not path.is_file():
        return [], f"no {path.name if path else 'log'} in {logs}" if logs else "no logs were given"
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - LOG_BYTES))
            text = stream.read().decode("utf-8", errors="replace")
    except OSError as error:
        return [], f"{path.name}: {error.strerror}"
    lines = text.split("\n")[1 if size > LOG_BYTES else 0 :]
    shown = [_plain_line(line) for line in lines]
    return [line for line in shown if line][-LOG_LINES:], ""


def _plain_line(line: str) -> str:
    last = line.rstrip("\r").rsplit("\r", 1)[-1]
    text = "".join(c for c in _ESCAPE.sub("", last).expandtabs(4) if c.isprintable()).rstrip()
    return text if len(text) <= LOG_WIDTH else f"{text[: LOG_WIDTH - 1]}…"


def _facts(run: Run) -> dict[str, str]:
    record, data = run.record, run.data
    seconds, each = record.get("seconds"), run.seconds_per_iteration
    facts = {
        "seed": run.seed,
        "iterations": record.get("iterations"),
        "training time": None if seconds is None else duration(seconds),
        "seconds per iteration": None if each is None else figure(each, 3),
        "images per step": record.get("batch_size"),
        "processes": record.get("processes"),
        "passes per step": record.get("passes"),
        "threads": record.get("threads"),
        "resumed": None if (again := record.get("resumed")) is None else "yes" if again else "no",
        "data": run.data_name or None,
        "train images": data.get("train_images"),
        "val images": data.get("val_images"),
        "classes": data.get("categories"),
        "code": record.get("git"),
    }
    return {name: printable(value) for name, value in facts.items() if value is not None}


def _hashes(run: Run) -> dict[str, str]:
    """Return SHA-256 by name: of the weights, the annotations, the start weights, the code."""
    found: dict[str, Any] = {}
    checkpoint = run.folder / "checkpoint.pth"
    if checkpoint.is_file():
        found["checkpoint.pth"] = file_sha256(checkpoint)
    for key, name in (("start_weights", "start weights"), ("weights", "official weights")):
        weights = run.record.get(key)
        if isinstance(weights, dict):
            found[f"{name}, {weights.get('file', 'unknown')}"] = weights.get("sha256")
    for key, name in (
        ("train_sha256", "train annotations"),
        ("val_sha256", "val annotations"),
        ("categories_sha256", "classes"),
    ):
        found[name] = run.data.get(key)
    found["config and code"] = run.record.get("code")
    return {printable(name): printable(value) for name, value in found.items() if value}


def _shown(values: Any) -> dict[str, str]:
    known = values if isinstance(values, dict) else {}
    return {
        printable(name).replace("_", " "): printable(value)
        for name, value in known.items()
        if value is not None
    }


def _commit(run: Run) -> str:
    """Return the command for the code of the run; '' if its commit is unknown or was changed."""
    commit = run.record.get("git")
    if not isinstance(commit, str) or not re.fullmatch(r"[0-9a-f]{7,40}", commit):
        return ""
    return shlex.join(["git", "checkout", commit])
