"""The commands that make a run again: with Snakemake, and by hand."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from rankdet.catalogue.presets import Preset
from rankdet.report.results import Run

WIDTH = 96
SPEED_OPTIONS = {"bf16": "--bf16", "channels_last": "--channels-last", "compiled": "--compile"}


def commands(run: Run, preset: Preset) -> list[str]:
    """Return the lines for a shell, from the checkout or the working directory of the results.

    Args:
        run: the seed, the iterations and the options come from its ``run.json``.
        preset: of the run; not one whose weights are downloaded.
    """
    entry, place = run.entry.entry_id, run.place
    results, work = f"results/{preset.name}/{place}", f"work/{preset.name}/{place}"
    data = data_path(run, preset)
    common = [entry, "--preset", preset.name, "--data", data]
    checkpoint, detections = f"{results}/checkpoint.pth", f"{results}/detections.json"
    if preset.trains:
        places = ["--work-dir", work, "--out", checkpoint]
        lines = [["train", *common, *places, *_options(run, preset)]]
    else:
        official = f"data/inbox/{entry}.pth"
        lines = [
            ["fetch", "checkpoint", entry, "--status", f"{results}/weights.json"],
            ["convert", entry, "--source", official, "--data", data, "--out", checkpoint],
        ]
    types = [word for kind in run.entry.iou_types for word in ("--iou-type", kind)]
    curves = ["--out", f"{results}/metrics.json", "--curves", f"{results}/curves.json"]
    written = ["--out", detections, "--work-dir", f"{work}/predict"]
    lines += [
        ["predict", *common, "--checkpoint", checkpoint, *written],
        ["evaluate", "--dataset", data, "--detections", detections, *types, *curves],
    ]
    return [_wrapped(["rankdet", *line]) for line in lines]


def workflow_command(run: Run, preset: Preset) -> str:
    """Return the command that has the workflow make the run; what is there already is kept."""
    target = f"results/{preset.name}/{run.place}/metrics.json"
    return shlex.join(["snakemake", "--profile", "workflow/profiles/local", target])


def data_path(run: Run, preset: Preset) -> str:
    """Return where the data set is prepared; DATA for a name that is no path.

    A built-in set is recorded in ``run.json`` by its kind, a user's own by the name of its folder.
    """
    is_built_in = preset.dataset != "coco" and run.data_name.split("-")[0] == preset.dataset
    own = "" if is_built_in else run.data_name
    name = own or preset.data_of(run.entry.dataset)
    fits = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", name)
    return f"data/prepared/{name if fits else 'DATA'}/dataset.json"


def _wrapped(words: Sequence[str]) -> str:
    """Return a command on lines of at most `WIDTH` characters, if possible; options start them."""
    lines = [""]
    parts: list[list[str]] = [[]]
    for word in words:
        if word.startswith("--"):
            parts.append([])
        parts[-1].append(word)
    for part in map(shlex.join, parts):
        if lines[-1] and len(lines[-1]) + len(part) > WIDTH:
            lines.append("   ")
        lines[-1] = f"{lines[-1]} {part}" if lines[-1] else part
    return " \\\n".join(lines)


def _options(run: Run, preset: Preset) -> list[str]:
    """Return the options of the training that are not the defaults."""
    record = run.record
    options = []
    if run.seed is not None:
        options += ["--seed", str(run.seed)]
    iterations = record.get("iterations")
    if preset.iterations is not None and iterations not in (None, preset.iterations):
        options += ["--iterations", f"{iterations:.0f}"]
    if preset.iterations is not None and preset.learning_rate is None:
        rate = _recorded_rate(record)
        options += [] if rate is None else ["--learning-rate", f"{rate:g}"]
    # More processes or passes than one are another order of sums.
    for key, default in (("processes", 1), ("passes", None), ("threads", None)):
        value = record.get(key)
        if _is_count(value) and value != default:
            options += [f"--{key}", str(value)]
    speed = record.get("speed")
    chosen: Mapping[str, Any] = speed if isinstance(speed, dict) else {}
    for name, option in SPEED_OPTIONS.items():
        if chosen.get(name) and not (name == "channels_last" and preset.channels_last):
            options.append(option)
    return options


def _recorded_rate(record: Mapping[str, Any]) -> float | None:
    """Return the learning rate that was given for a preset without one of its own."""
    value: object = record.get("config")
    for key in ("optim_wrapper", "optimizer", "lr"):
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, float) else None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
