"""What must not change the numbers, and what must change them in one known way."""

import numpy as np
import pytest

from rankdet.evaluation import evaluate

RNG_SEED = 7


@pytest.fixture(scope="module")
def data():
    """Three classes on twenty images; scores without ties."""
    rng = np.random.default_rng(RNG_SEED)
    annotations, rows = [], []
    for number in range(120):
        box = [*rng.integers(0, 200, 2).tolist(), *rng.integers(10, 120, 2).tolist()]
        image, category = int(rng.integers(1, 21)), int(rng.integers(1, 4))
        annotations.append(
            {
                "id": number + 1,
                "image_id": image,
                "category_id": category,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": int(number % 25 == 0),
            }
        )
        for _ in range(int(rng.integers(0, 4))):
            moved = (np.array(box) + rng.normal(0, 5, 4)).round(2)
            moved[2:] = np.maximum(moved[2:], 2)
            rows.append(
                {"image_id": image, "category_id": category, "bbox": moved.tolist(), "score": 0}
            )
    for row, score in zip(rows, rng.permutation(len(rows)), strict=True):
        row["score"] = (int(score) + 1) / (len(rows) + 1)
    truth = {
        "images": [{"id": i} for i in range(1, 21)],
        "categories": [{"id": i, "name": f"c{i}"} for i in (1, 2, 3)],
        "annotations": annotations,
    }
    return truth, rows


def same(numbers, other):
    assert numbers == pytest.approx(other, abs=1e-12)


def test_order_of_the_files_does_not_matter(data):
    truth, rows = data
    rng = np.random.default_rng(1)
    shuffled = {key: [truth[key][i] for i in rng.permutation(len(truth[key]))] for key in truth}
    same(
        evaluate(shuffled, [rows[i] for i in rng.permutation(len(rows))]).numbers,
        evaluate(truth, rows).numbers,
    )


def test_only_the_order_of_scores_matters(data):
    truth, rows = data
    bent = [{**row, "score": row["score"] ** 3 - 5} for row in rows]
    same(evaluate(truth, bent).numbers, evaluate(truth, rows).numbers)


def test_moving_everything_changes_nothing(data):
    truth, rows = data
    shift = np.array([64, 32, 0, 0])
    moved = {
        **truth,
        "annotations": [
            {**row, "bbox": (row["bbox"] + shift).tolist()} for row in truth["annotations"]
        ],
    }
    moved_rows = [{**row, "bbox": (row["bbox"] + shift).tolist()} for row in rows]
    same(evaluate(moved, moved_rows).numbers, evaluate(truth, rows).numbers)


def test_images_of_nothing_change_nothing(data):
    truth, rows = data
    more = {**truth, "images": truth["images"] + [{"id": 100 + i} for i in range(5)]}
    same(evaluate(more, rows).numbers, evaluate(truth, rows).numbers)


def test_lower_scored_false_positives_do_not_change_ap_at_reached_recall(data):
    truth, rows = data
    far = [{**rows[0], "bbox": [900, 900, 10, 10], "score": 1e-9}]
    same(evaluate(truth, rows + far).numbers, evaluate(truth, rows).numbers)


def test_perfect_detections(data):
    truth, _ = data
    rows = [
        {key: row[key] for key in ("image_id", "category_id", "bbox")} | {"score": 0.5}
        for row in truth["annotations"]
    ]
    numbers = evaluate(truth, rows).numbers
    assert numbers["AP"] == numbers["APm"] == pytest.approx(1)
    assert numbers["AR100"] == 1
    assert numbers["oLRP"] == numbers["oLRP_loc"] == numbers["oLRP_fp"] == numbers["oLRP_fn"] == 0


def test_lrp_is_made_of_its_components(data):
    """LRP = (2 Loc + FP / (1 - FP) + FN / (1 - FN)) / (1 + FP / (1 - FP) + FN / (1 - FN))."""
    for row in evaluate(*data).per_class:
        false = row["oLRP_fp"] / (1 - row["oLRP_fp"])
        missed = row["oLRP_fn"] / (1 - row["oLRP_fn"])
        expected = (2 * row["oLRP_loc"] + false + missed) / (1 + false + missed)
        assert row["oLRP"] == pytest.approx(expected, abs=1e-12)


def test_the_curve_reaches_the_optimum_of_a_single_class(data):
    truth, rows = data
    truth = {**truth, "categories": truth["categories"][:1]}
    rows = [{**row, "score": round(row["score"], 2)} for row in rows if row["category_id"] == 1]
    metrics = evaluate(truth, rows)
    assert min(metrics.curves["LRP"]) >= metrics.numbers["oLRP"] - 1e-6
    assert min(metrics.curves["LRP"]) < 1
