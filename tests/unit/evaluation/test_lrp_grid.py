"""A grid of scores finds no lower LRP than every prefix, and depends on the scale of the scores."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from benchmarks.lrp_grid import main, rows_of, study

from rankdet.evaluation import read_detections, read_ground_truth
from tests.unit.evaluation.cases import SIDE


def drawn(seed, scores):
    """Three classes on six images; detections near the objects and elsewhere."""
    rng = np.random.default_rng(seed)
    annotations, rows = [], []
    for number in range(40):
        image, category = rng.integers(1, 7), rng.integers(1, 4)
        box = [*rng.integers(0, 60, 2).tolist(), *rng.integers(10, 50, 2).tolist()]
        own = dict(image_id=int(image), category_id=int(category))
        annotations.append({**own, "id": number + 1, "bbox": box, "area": box[2] * box[3]})
        for shift in rng.normal(0, 4, (rng.integers(0, 4), 2)):
            moved = [box[0] + shift[0], box[1] + shift[1], *box[2:]]
            rows.append({**own, "bbox": moved, "score": float(rng.choice(scores))})
    truth = {
        "images": [{"id": each, "height": SIDE, "width": SIDE} for each in range(1, 7)],
        "categories": [{"id": each, "name": f"c{each}"} for each in (1, 2, 3, 4)],
        "annotations": annotations,
    }
    return truth, rows


def studied(truth, rows, scale=1.0):
    return study(read_ground_truth(truth, "bbox"), read_detections(rows), scale)


@pytest.mark.parametrize("seed", range(8))
def test_the_grid_is_never_below_the_optimum(seed):
    found = studied(*drawn(seed, np.random.default_rng(seed).random(500)))
    assert (found.grid >= found.exact).all()
    assert (found.annotations > 0).all()


@pytest.mark.parametrize("seed", range(4))
def test_distinct_scores_on_the_grid_give_the_optimum(seed):
    """Prefixes that end between equal scores belong to no score."""
    truth, rows = drawn(seed, [0.5])
    for row, hundredth in zip(rows, np.random.default_rng(seed).permutation(100), strict=False):
        row["score"] = (int(hundredth) + 1) / 100
    found = studied(truth, rows[:100])
    np.testing.assert_array_equal(found.grid, found.exact)


@pytest.mark.parametrize("seed", range(4))
def test_every_prefix_depends_on_the_order_alone(seed):
    truth, rows = drawn(seed, np.random.default_rng(seed).random(500))
    whole, small = studied(truth, rows), studied(truth, rows, 1 / 256)
    np.testing.assert_array_equal(whole.exact, small.exact)
    np.testing.assert_array_equal(whole.threshold / 256, small.threshold)
    assert small.grid.mean() > whole.grid.mean()  # one score of the grid sees any detection
    assert (small.grid == 1).all() or small.grid.max() > small.exact.max()


DATA = Path(os.environ.get("RANKDET_DATA") or Path(__file__).parents[4] / "shared/data")
ANNOTATIONS = DATA / "coco_real/annotations/instances_val.json"
DETECTIONS = DATA / "detections/fastestdet_352_val158_bbox.json"


@pytest.mark.skipif(
    not (ANNOTATIONS.is_file() and DETECTIONS.is_file()),
    reason="needs the 158 real images' annotations and detections: set RANKDET_DATA",
)
def test_a_real_detector_on_real_images(tmp_path):
    truth, rows = json.loads(ANNOTATIONS.read_text()), json.loads(DETECTIONS.read_text())
    found = studied(truth, rows)
    excess = found.grid - found.exact
    assert found.exact.mean() == pytest.approx(0.847512, abs=1e-6)
    assert (excess >= 0).all() and (excess > 0).sum() == 10
    assert excess.max() == pytest.approx(0.045385, abs=1e-6)
    assert rows_of(found, {row["id"]: row["name"] for row in truth["categories"]})[0]["class"] == (
        "refrigerator"
    )
    main(ANNOTATIONS, DETECTIONS, "a real detector", tmp_path)
    assert (
        "0.847512 at every prefix, 0.848916 on the grid" in (tmp_path / "lrp_grid.md").read_text()
    )
    assert (tmp_path / "lrp_grid.csv").read_text().count("\n") == 81
