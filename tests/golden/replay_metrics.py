"""Replay recorded metrics: ``python -m tests.golden.replay_metrics DIR``.

Every folder of DIR (or DIR itself) with gt.json, dt.json and expected.json (or .json.gz) is
evaluated under each of its protocols; every recorded number must agree within 1e-9.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rankdet.evaluation import evaluate, read_ground_truth
from rankdet.evaluation.reading import read_document

TOLERANCE = 1e-9
PROTOCOLS = {"bbox": ("bbox", "segmentation"), "segm": ("segm", "bbox"), "segm_bboxarea": ("segm",)}
PARTS = {"oLRP": "oLRP", "Loc": "oLRP_loc", "FP": "oLRP_fp", "FN": "oLRP_fn", "thr": "threshold"}
SUFFIXES = {"all": "", "small": "s", "medium": "m", "large": "l"}


def golden_folder() -> Path:
    """Where the recorded sets are: $RANKDET_GOLDEN, the committed copy, or beside the checkout."""
    here = Path(__file__).parent / "data/metrics"
    if os.environ.get("RANKDET_GOLDEN"):
        return Path(os.environ["RANKDET_GOLDEN"]) / "metrics"
    return here if here.is_dir() else Path(__file__).parents[3] / "shared/golden/metrics"


def sets_of(folder: Path) -> list[Path]:
    """Return the folders with a recorded set, ``folder`` itself or those in it."""
    return [each for each in [folder, *sorted(folder.iterdir())] if _file(each, "expected")]


def _file(folder: Path, name: str) -> Path | None:
    paths = (folder / f"{name}.json", folder / f"{name}.json.gz")
    return next((path for path in paths if path.is_file()), None)


def load(folder: Path) -> tuple[Any, Any, Any]:
    """Return ground truth, detections and expected numbers."""
    return tuple(
        read_document(_file(folder, name), f"{name}.json of a recorded set")
        for name in ("gt", "dt", "expected")
    )


def without(rows: list[dict], key: str | None) -> list[dict]:
    return [{name: value for name, value in row.items() if name != key} for row in rows]


def _number(value: float | None) -> float | None:
    """Recorded: -1 is absent, null is NaN; ours: None is either."""
    return None if value == -1 else value


def _part(recorded: str) -> str:
    """'oLRP_Loc', 'oLRP LOC' -> 'oLRP_loc'; 'thr' -> 'threshold'."""
    lower = {name.lower(): ours for name, ours in PARTS.items()}
    return lower.get(recorded.replace("_", " ").split(" ")[-1].lower(), recorded)


def _row_key(part: str, suffix: str) -> str:
    """The name of an oLRP part in a class row, such as oLRPs_loc."""
    name, _, component = part.partition("_")
    if part == "threshold":
        return f"oLRP{suffix}_threshold"
    return f"{name}{suffix}" + (f"_{component}" if component else "")


def comparisons(folder: Path, protocol: str) -> Iterator[tuple[str, float | None, float | None]]:
    """Yield name, recorded and own value of every number of one set and protocol."""
    truth, rows, expected = load(folder)
    recorded = expected[protocol]
    iou_type, *dropped = PROTOCOLS[protocol]
    rows = without(rows, *(dropped or [None]))
    kind = "lvis" if "lvis" in recorded else "coco"
    truth = read_ground_truth(truth, (iou_type,), kind)
    metrics = evaluate(truth, rows, iou_type, kind)
    classes = {str(row["category_id"]): row for row in metrics.per_class}

    for source in ("pycocotools", "faster_coco_eval") if kind == "coco" else ("lvis",):
        for name, value in recorded.get(source, {}).get("stats", {}).items():
            yield f"{source} {name}", value, metrics.numbers.get(_stat(name))
        for category, values in recorded.get(source, {}).get("per_class", {}).items():
            for name, value in values.items():
                yield f"{source} {name} of class {category}", value, classes[category].get(name)

    official = recorded.get("lrp_official", {})
    for name, value in {**official.get("stats12", {}), **official.get("stats", {})}.items():
        yield f"lrp_official {name}", value, metrics.numbers.get(_stat(name))
    for place, values in official.get("summary", {}).items():
        area, limit = place.split("@")
        found = metrics
        if int(limit) != 100:
            found = evaluate(truth, rows, iou_type, kind, limits=(int(limit),))
        for name, value in values.items():
            yield f"lrp_official {place} {name}", value, found.by_area[area][_part(name)]
    for category, areas in official.get("per_class", {}).items():
        for area, values in areas.items():
            for name, value in values.items():
                key = _row_key(_part(name), SUFFIXES[area])
                yield f"{key} of class {category}", value, classes[category].get(key)
    for category, values in official.get("per_class_present", {}).items():
        for name, value in values.items():
            key = name if name == "AP" else _row_key(_part(name), "")
            yield f"{key} of class {category}", value, classes[category].get(key)


def _stat(recorded: str) -> str:
    name = recorded.replace("@300", "") if recorded[2:3] in "sml" else recorded.replace("@", "")
    return _part(name) if " " in name else name


def difference(recorded: float | None, own: float | None) -> float:
    """Absolute difference; infinite if only one of them is a number."""
    recorded = _number(recorded)
    if recorded is None or own is None:
        return 0.0 if recorded is own else float("inf")
    return abs(recorded - own)


def main(folder: str) -> int:
    misses, replayed, largest = 0, 0, 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for each in sets_of(Path(folder)):
            for protocol in [name for name in PROTOCOLS if name in load(each)[2]]:
                title = f"{each.name} {protocol}"
                if "not a correctness target" in load(each)[2].get("note", ""):
                    print(f"{title}: a quirk that is not reproduced (annotation id 0)")
                    continue
                rows = list(comparisons(each, protocol))
                worst = [difference(recorded, own) for _, recorded, own in rows]
                wrong = [row for row, gap in zip(rows, worst, strict=True) if gap > TOLERANCE]
                replayed, misses = replayed + 1, misses + bool(wrong)
                largest = max([largest, *worst])
                print(
                    f"{title}: {len(rows) - len(wrong)} of {len(rows)} numbers, "
                    f"largest difference {max(worst):.1e}"
                )
                for name, recorded, own in wrong[:5]:
                    print(f"  {name}: recorded {recorded}, own {own}")
    print(f"{replayed - misses} of {replayed} agree, largest difference {largest:.1e}")
    return 0 if replayed and not misses else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else str(golden_folder())))
