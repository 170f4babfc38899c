"""Correlation of score and IoU: SciPy on the matches of pycocotools gives the same numbers."""

import math

import numpy as np
import pytest
from scipy import stats

from rankdet.evaluation import evaluate
from rankdet.evaluation.localization import pearson, ranks
from tests.unit.evaluation.cases import tiny
from tests.unit.evaluation.populations import population
from tests.unit.evaluation.reference import judge


def true_positives(evaluation):
    """Return scores and IoUs of the matches of pycocotools at IoU 0.5, all areas."""
    images, categories = evaluation.params.imgIds, evaluation.params.catIds
    pairs = []
    for place, category in enumerate(categories):
        first = place * len(evaluation.params.areaRng) * len(images)
        for image, record in zip(images, evaluation.evalImgs[first:], strict=False):
            if record is None:
                continue
            columns = [gt["id"] for gt in evaluation._gts[image, category]]
            for rank, score in enumerate(record["dtScores"]):
                match = record["dtMatches"][0, rank]
                if match and not record["dtIgnore"][0, rank]:
                    iou = evaluation.ious[image, category][rank, columns.index(match)]
                    pairs.append((score, iou))
    return np.array(pairs).T


@pytest.mark.parametrize("seed", range(4))
def test_scipy_agrees_on_the_matches_of_pycocotools(seed):
    truth, rows = population(np.random.default_rng(seed), images=40)
    for row in rows:
        row.pop("segmentation", None)
        if seed % 2:
            row["score"] = round(row["score"], 1)  # ties
    found = evaluate(truth, rows).curves["localization"]
    score, iou = true_positives(judge(truth, rows, "bbox"))
    assert found["true_positives"] == len(score) > 50
    assert found["pearson"] == pytest.approx(stats.pearsonr(score, iou).statistic, abs=1e-6)
    assert found["spearman"] == pytest.approx(stats.spearmanr(score, iou).statistic, abs=1e-6)
    bins = found["bins"]
    assert sum(bins["count"]) == len(score) and bins["score"] == sorted(bins["score"])
    total = np.dot(bins["count"], bins["IoU"])
    assert total == pytest.approx(iou.sum(), abs=1e-5 * len(iou))
    start = 0
    for count, mean, quality in zip(*(bins[key] for key in ("count", "score", "IoU")), strict=True):
        kept = np.argsort(score, kind="stable")[start : start + count]
        assert mean == pytest.approx(score[kept].mean(), abs=1e-6)
        # A bin holds all detections of a score: those below and above it have other scores.
        assert not set(score[kept]) & set(np.delete(score, kept))
        assert quality == pytest.approx(iou[kept].mean(), abs=1e-6)
        start += count


def test_a_match_of_an_ignored_object_is_no_true_positive():
    boxes = ((10, 10, 40, 40), (80, 80, 40, 40))
    found = ((10, 10, 40, 40, 0.9), (80, 80, 40, 30, 0.5))
    truth, rows = tiny(boxes, found)
    both = evaluate(truth, rows).curves["localization"]
    assert (both["true_positives"], both["pearson"], both["spearman"]) == (2, 1.0, 1.0)
    assert both["bins"] == {"count": [1, 1], "score": [0.5, 0.9], "IoU": [0.75, 1.0]}
    truth["annotations"][1]["iscrowd"] = 1
    one = evaluate(truth, rows).curves["localization"]
    assert one["true_positives"] == 1 and one["pearson"] is None and one["spearman"] is None


def test_numbers_do_not_depend_on_the_order_of_the_file():
    truth, rows = population(np.random.default_rng(5))
    for row in rows:
        row["score"] = round(row["score"], 1)
    found = evaluate(truth, rows).curves["localization"]
    assert found["true_positives"] > 10
    # Among equal scores of one image the first in the file is matched first: images are moved.
    order = np.argsort([-row["image_id"] for row in rows], kind="stable")
    moved = [rows[place] for place in order]
    assert moved != rows and evaluate(truth, moved).curves["localization"] == found


def test_nothing_found_is_no_correlation():
    truth, rows = tiny(found=((80, 80, 30, 30, 0.4),))
    found = evaluate(truth, rows).curves["localization"]
    assert found == {
        **{"true_positives": 0, "pearson": None, "spearman": None},
        "bins": {"count": [], "score": [], "IoU": []},
    }


def test_scores_of_any_size_are_correlated():
    boxes = tuple((30 * place, 10, 20, 40) for place in range(4))
    found = tuple(
        (*boxes[place][:3], 40 - place, score)
        for place, score in enumerate((1e308, -1e308, 1e300, 5e307))
    )
    result = evaluate(*tiny(boxes, found)).curves["localization"]
    assert result["true_positives"] == 4
    expected = stats.pearsonr([1, -1, 0, 0.5], [1, 39 / 40, 38 / 40, 37 / 40]).statistic
    assert result["pearson"] == pytest.approx(expected, abs=1e-6)
    assert all(math.isfinite(value) for value in result["bins"]["score"])


def test_equal_values_share_their_ranks():
    values = np.array([3.0, 1.0, 3.0, 2.0, 3.0, 1.0])
    assert ranks(values).tolist() == stats.rankdata(values).tolist()
    assert pearson(np.array([1.0, 1.0]), np.array([0.0, 1.0])) is None
    assert pearson(np.array([1.0]), np.array([1.0])) is None
