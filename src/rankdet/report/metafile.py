"""``metafile.yml`` of one run, in the format that mmdetection's tools read (model-index)."""

from __future__ import annotations

from typing import Any

import yaml

from rankdet.catalogue import Catalogue, Entry
from rankdet.catalogue.official_files import official_set
from rankdet.catalogue.papers import papers_of
from rankdet.catalogue.presets import Preset
from rankdet.report.facts import TASKS, data_title, hardware, values_of, versions_of
from rankdet.report.names import loss_family, printable
from rankdet.report.results import Run

METRICS = ("AP", "AP50", "AP75", "oLRP")  # all others are in the model card
TITLES = {"coco": "COCO", "lvis": "LVIS v1", "cityscapes": "Cityscapes"}  # as mmdetection has them


def metafile(run: Run, catalogue: Catalogue, preset: Preset) -> str:
    """Return the text of the file.

    The data set is what ``run.json`` says: a small set is never called COCO. What was not measured
    (memory, inference time) is left out.

    Args:
        run: one evaluated run.
        catalogue: with the published values.
        preset: of the run.
    """
    entry = run.entry
    collection = loss_family(entry)
    content = {
        "Collections": [_collection(entry, collection, run)],
        "Models": [
            {
                "Name": _name(run, preset),
                "In Collection": collection,
                "Config": f"configs/{entry.family}/{entry.entry_id}.py",
                "Metadata": _metadata(run, preset),
                "Results": _results(run, catalogue, preset),
                **_weights(run),
            }
        ],
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)


def _name(run: Run, preset: Preset) -> str:
    return f"{run.place.replace('/', '_')}_{preset.name}"


def _collection(entry: Entry, name: str, run: Run) -> dict[str, Any]:
    papers = papers_of(entry)
    paper = {"Paper": {"URL": papers[0].url, "Title": papers[0].title}} if papers else {}
    version = versions_of(run).get("rankdet")
    code = {"Code": {"Version": f"v{printable(version)}"}} if version else {}
    return {
        "Name": name,
        "Metadata": {"Architecture": [printable(entry.detector), printable(entry.backbone)]},
        **paper,
        **code,
        "README": "model-card.md",
    }


def _metadata(run: Run, preset: Preset) -> dict[str, Any]:
    if not preset.trains:
        return {}
    found: dict[str, Any] = {"Training Data": _dataset(run)}
    if resources := hardware(run):
        found["Training Resources"] = printable(resources)
    epochs = preset.epochs or run.entry.official.epochs
    iterations = run.record.get("iterations")
    if preset.iterations is None and epochs is not None:
        found["Epochs"] = epochs
    elif isinstance(iterations, int):
        found["Iterations"] = iterations
    size = run.record.get("batch_size")
    return found | ({"Batch Size": size} if isinstance(size, int) else {})


def _results(run: Run, catalogue: Catalogue, preset: Preset) -> list[dict[str, Any]]:
    values = values_of(run, catalogue, preset)
    return [
        {
            "Task": TASKS[iou_type],
            "Dataset": _dataset(run),
            "Metrics": {
                value.label: round(value.measured, 1)
                for value in values
                if value.iou_type == iou_type and value.metric in METRICS
            },
        }
        for iou_type in run.metrics
    ]


def _dataset(run: Run) -> str:
    official = official_set(run.data)
    return TITLES[official] if official else printable(data_title(run))


def _weights(run: Run) -> dict[str, str]:
    return {"Weights": "checkpoint.pth"} if (run.folder / "checkpoint.pth").is_file() else {}
