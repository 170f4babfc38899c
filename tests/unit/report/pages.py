"""Results with images, classes and detections: all that the page of a run shows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from rankdet.report.pictures import ValData
from tests.unit.report.synthetic import write_result

SIZE = (160, 120)  # width, height


def write_val(folder: Path, names: tuple[str, ...] = ("zero", "one"), images: int = 6) -> ValData:
    """Write val images with two objects each and their annotations."""
    (folder / "val").mkdir(parents=True)
    rows, annotations = [], []
    for number in range(1, images + 1):
        rows.append({"id": number, "file_name": f"{number}.png", "width": 160, "height": 120})
        pixels = np.full((120, 160, 3), 40 * number % 256, np.uint8)
        Image.fromarray(pixels).save(folder / "val" / f"{number}.png")
        for place in (0, 1):
            left = 20 + 60 * place
            box = [left, 30, 40, 50]
            corners = [[left, 30, left + 40, 30, left + 40, 80, left, 80]]
            annotations.append(
                {
                    **{"id": 2 * number + place, "image_id": number, "category_id": place + 1},
                    **{"bbox": box, "area": 2000, "iscrowd": 0, "segmentation": corners},
                }
            )
    categories = [{"id": index, "name": name} for index, name in enumerate(names, start=1)]
    document = {"images": rows, "annotations": annotations, "categories": categories}
    (folder / "val.json").write_text(json.dumps(document))
    return ValData(folder / "val.json", folder / "val", "coco", False, found_as_named)


def found_as_named(rows, folder):
    """As `rankdet.datasets.images.find_images`, which needs OpenCV."""
    return [row["file_name"] for row in rows]


def class_rows(names: tuple[str, ...] = ("zero", "one"), threshold: float | None = 0.5) -> list:
    """Rows of ``per_class`` as `rankdet evaluate` writes them; the second class has no object."""
    errors = {"oLRP": 0.625, "oLRP_loc": 0.2, "oLRP_fp": 0.3, "oLRP_fn": 0.4}
    rows = []
    for index, name in enumerate(names, start=1):
        row = {"category_id": index, "name": name, "annotations": 6 * index}
        row |= {"AP": 0.25 / index, "AP50": 0.5, "AP75": 0.1, **errors, "oLRP_threshold": threshold}
        rows.append(row)
    rows[-1] |= dict.fromkeys(("AP", "oLRP", "oLRP_threshold"))
    return rows


def write_run(folder: Path, entry_id: str, preset: str = "demo", **options) -> Path:
    """Write the results of a run with classes, detections and settings; return its folder."""
    names = options.pop("names", ("zero", "one"))
    place = write_result(folder, entry_id, preset, **options)
    path = place / "metrics.json"
    document = json.loads(path.read_text())
    document["per_class"] = {"bbox": class_rows(names)}
    path.write_text(json.dumps(document))
    detections = [
        {"image_id": image, "category_id": category, "bbox": [20, 30, 40, 50], "score": score}
        for image in range(1, 7)
        for category, score in ((1, 0.9), (1, 0.4), (2, 0.9))
    ]
    (place / "detections.json").write_text(json.dumps(detections))
    (place / "checkpoint.pth").write_bytes(b"weights")
    path = place / "run.json"
    record = json.loads(path.read_text())
    record["config"] = {"model": {"type": "ATSS", "depth": 18}, "scale": [128, 128]}
    record["differences"] = [
        {"setting": "depth", "official": "50", "here": "18", "reason": "preset demo"},
    ]
    path.write_text(json.dumps(record))
    return place
