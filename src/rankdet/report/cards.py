"""Model card of one run: Markdown with the metadata that model hubs read (``model-index``)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from rankdet.catalogue import Catalogue
from rankdet.catalogue.papers import papers_of
from rankdet.catalogue.presets import Preset
from rankdet.errors import InputError, nearest
from rankdet.outputs import write_text
from rankdet.report.again import commands, data_path
from rankdet.report.facts import (
    Value,
    data_title,
    hardware,
    machine_of,
    period,
    values_of,
    versions_of,
)
from rankdet.report.formats import environment
from rankdet.report.metafile import metafile
from rankdet.report.names import loss_family, printable
from rankdet.report.results import Result, Run
from rankdet.report.verdicts import why_not_comparable
from rankdet.times import duration

CARD, METAFILE = "model-card.md", "metafile.yml"
LICENSE = "apache-2.0"  # of the code, as hubs name it


def write_cards(
    results: Mapping[str, Result], catalogue: Catalogue, preset: Preset, only: str | None = None
) -> list[Path]:
    """Write both files beside the other files of each run; return their paths.

    Args:
        results: as `rankdet.report.results.read_results` returns them.
        catalogue: with the published values.
        preset: of the results.
        only: the run of this place, ``<entry>`` or ``<entry>/seed-<n>``.

    Raises:
        InputError: if there is no such run.
    """
    runs = [run for result in results.values() for run in result.runs]
    chosen = [run for run in runs if only in (None, run.place)]
    if only is not None and not chosen:
        known = [run.place for run in runs]
        raise InputError(
            "a run with metrics.json, as <entry> or <entry>/seed-<n>", only, nearest(only, known)
        )
    # All texts first: a mistake in the last run must not leave the cards of half of them.
    texts = {
        run.folder / name: write(run, catalogue, preset)
        for run in chosen
        for name, write in ((CARD, model_card), (METAFILE, metafile))
    }
    for path, text in texts.items():
        write_text(path, text)
    return list(texts)


def model_card(run: Run, catalogue: Catalogue, preset: Preset) -> str:
    """Return the card: YAML between dashes, then Markdown.

    Args:
        run: one evaluated run.
        catalogue: with the published values.
        preset: of the run; a card of another than the official run says so first.
    """
    values = values_of(run, catalogue, preset)
    head = yaml.safe_dump(_metadata(run, values, preset), sort_keys=False, allow_unicode=True)
    body = (
        environment()
        .get_template("model-card.md.j2")
        .render(
            run=run,
            entry=run.entry,
            preset=preset,
            loss=loss_family(run.entry),
            data=data_title(run),
            why=why_not_comparable(run, preset),
            values=values,
            facts=_facts(run, preset),
            command=commands(run, preset)[0] if preset.trains else "",
            prepared=data_path(run, preset),
            versions=versions_of(run),
            papers=papers_of(run.entry),
            license=LICENSE,
        )
    )
    return f"---\n{head}---\n\n{body}"


def _metadata(run: Run, values: list[Value], preset: Preset) -> dict[str, Any]:
    entry = run.entry
    masks = "segm" in entry.iou_types
    tasks = {
        "bbox": ("object-detection", "Object Detection"),
        "segm": ("image-segmentation", "Instance Segmentation"),
    }
    results: list[dict[str, Any]] = [
        {
            "task": dict(zip(("type", "name"), tasks[iou_type], strict=True)),
            "dataset": {
                "name": printable(data_title(run)),
                "type": _slug(data_title(run)),
                "split": "val",
                **_revision(run),
            },
            "metrics": [
                {"type": value.metric, "value": value.measured, "name": value.label}
                for value in values
                if value.iou_type == iou_type
            ],
        }
        for iou_type in run.metrics
    ]
    return {
        "license": LICENSE,
        "library_name": "mmdetection",
        "pipeline_tag": tasks["segm" if masks else "bbox"][0],
        "tags": [
            *(["object-detection", "instance-segmentation"] if masks else ["object-detection"]),
            *("rankdet", _slug(loss_family(entry)), f"preset-{preset.name}"),
        ],
        "model-index": [
            # A hub refuses a result without a metric.
            {
                "name": f"{run.place} ({preset.name})",
                "results": [each for each in results if each["metrics"]],
            }
        ],
    }


def _revision(run: Run) -> dict[str, str]:
    sha256 = run.data.get("val_sha256")
    return {"revision": printable(sha256)} if sha256 else {}


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "unknown"


def _facts(run: Run, preset: Preset) -> list[tuple[str, str]]:
    """Return what run.json says about training and data, as rows of a table."""
    record, data = run.record, run.data
    times = period(run)
    rows = [
        ("Training data", _split(data, "train") if preset.trains else ""),
        ("Validation data", _split(data, "val")),
        ("Classes", _text(data.get("categories"))),
        ("Preset", f"{preset.name}: {preset.purpose}"),
        ("Iterations", _text(record.get("iterations"))),
        ("Images per step", _text(record.get("batch_size"))),
        ("Seed", _text(run.seed)),
        ("Start weights", _text(record.get("start_weights"))),
        ("Official weights", _official(record.get("weights"))),
        ("Training time", duration(record["seconds"]) if record.get("seconds") else ""),
        ("Trained", " to ".join(times).replace("+00:00", "Z") if times else ""),
        ("Machine", hardware(run)),
        ("Memory of the machine", _gib(machine_of(run).get("memory_gib"))),
        ("Code", _text(record.get("git"))),
    ]
    return [(name, text) for name, text in rows if text]


def _split(data: Mapping[str, Any], split: str) -> str:
    images, annotations = data.get(f"{split}_images"), data.get(f"{split}_annotations")
    parts = [f"{images} images"] if images is not None else []
    parts += [f"{annotations} annotations"] if annotations is not None else []
    sha256 = data.get(f"{split}_sha256")
    parts += [f"sha256 {sha256}"] if sha256 else []
    return ", ".join(parts)


def _official(weights: object) -> str:
    if not isinstance(weights, dict) or not weights.get("file"):
        return ""
    return f"{weights['file']}, sha256 {weights.get('sha256', 'unknown')}"


def _gib(amount: object) -> str:
    return f"{amount} GiB" if amount else ""


def _text(value: object) -> str:
    return "" if value is None else str(value)
