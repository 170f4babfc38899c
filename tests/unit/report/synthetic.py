"""Synthetic results: invented numbers in the layout of a run, to test what is made from them."""

from __future__ import annotations

import json
import math
from pathlib import Path

from rankdet.catalogue.official_files import OFFICIAL, OfficialSplit

DEMO_ENTRIES = (
    "pap_focal_l1_retinanet_r50",
    "alrp_mmdet_alrp_retinanet_r50_500",
    "control_atss_r50",
    "rs_atss_r50",
)


def metrics(ap: float) -> dict[str, float | None]:
    """One value decides all; APl is absent as in a set without large objects."""
    names = ("AP50", "AP75", "APs", "APm", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
    values: dict[str, float | None] = dict.fromkeys(names, min(1.0, ap * 1.1))
    errors = {"oLRP": 1 - ap, "oLRP_loc": 0.2, "oLRP_fp": 0.3, "oLRP_fn": 0.4}
    return {"AP": ap, **values, "APl": None, **errors}


def curves(ap: float) -> dict:
    recall = [step / 100 for step in range(101)]
    precision = [max(0.0, 1 - each / (ap + 0.2)) for each in recall]
    lrp = [min(1.0, 1 - ap + (each - 0.4) ** 2) for each in recall]
    parts = {"0.50": precision, "0.75": precision, "mean": precision}
    return {
        **{"recall": recall, "precision": parts, "score": recall, "LRP": lrp, "classes": 10},
        "localization": localization(ap),
    }


def localization(ap: float) -> dict:
    """Correlations that grow with AP, and bins of four true positives each."""
    bins = {
        "count": [4] * 10,
        "score": [step / 10 for step in range(10)],
        "IoU": [0.6 + ap * step / 30 for step in range(10)],
    }
    return {"true_positives": 40, "pearson": ap, "spearman": ap - 0.1, "bins": bins}


def data_record(name: str) -> dict:
    """Return the ``data`` of a run.json: of an official set in full, of another a small one."""
    official = OFFICIAL.get(name)
    record = {"name": name, "format": "lvis" if name == "lvis" else "coco"}
    for split in ("train", "val"):
        counts = getattr(official, split) if official else OfficialSplit(300, 900)
        record[f"{split}_sha256"] = f"{split} of {name}"
        record[f"{split}_images"] = counts.images
        record[f"{split}_annotations"] = counts.annotations or 10_000
    record["categories"] = official.categories if official else 10
    record["categories_sha256"] = official.categories_sha256 if official else "of ten digits"
    return record


def write_result(
    folder: Path,
    entry_id: str,
    preset: str,
    ap: float = 0.4,
    *,
    masks: bool = False,
    data: str = "digits",
    validations: bool = True,
    seed: int = 0,
    several: bool = False,
) -> Path:
    """Write what a run leaves below ``folder``; return its folder, of its seed for ``several``."""
    place = folder / entry_id / f"seed-{seed}" if several else folder / entry_id
    place.mkdir(parents=True)
    document: dict = {"bbox": metrics(ap), "per_class": {"bbox": []}}
    if masks:
        document["segm"] = metrics(ap * 0.9)
    (place / "metrics.json").write_text(json.dumps(document))
    (place / "curves.json").write_text(json.dumps({"bbox": curves(ap)}))
    lines = []
    for iteration in range(1, 101):
        loss = math.exp(-iteration / 40) + 0.3
        terms = {"loss": loss, "loss_cls": 0.75 * loss, "loss_bbox": 0.25 * loss}
        if "alrp" in entry_id:
            terms["balance_bbox"] = 50.0 if iteration < 50 else 4.0
        lines.append({"iteration": iteration, **terms, "lr": 0.01, "time": 0.2})
        if validations and iteration % 50 == 0:
            lines.append({"iteration": iteration, "AP": ap, "oLRP": 1 - ap})
    (place / "training.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = {
        "entry": entry_id,
        "preset": preset,
        "iterations": 100,
        "seconds": 42.0,
        "seed": seed,
        "data": data_record(data),
        "machine": {"cpu": "An invented processor", "cores": 2, "gpu": None},
        "versions": {"python": "3.11", "torch": "2.13.0"},
        "git": "0123456789ab",
    }
    (place / "run.json").write_text(json.dumps(run))
    return place


def write_preset(root: Path, preset: str = "demo", data: str = "digits") -> Path:
    """Write the demo entries, each better than the one before; return ``root/<preset>``."""
    for index, entry_id in enumerate(DEMO_ENTRIES):
        write_result(root / preset, entry_id, preset, 0.3 + 0.05 * index, data=data)
    return root / preset
