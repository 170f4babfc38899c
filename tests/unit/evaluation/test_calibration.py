"""Calibration: measures by their definitions, maps that keep the order, splits that are apart."""

import copy
import json
import re
import sys

import numpy as np
import pytest
from scipy.optimize import minimize

from rankdet.errors import InputError
from rankdet.evaluation import calibration_errors, evaluate, read_detections, read_ground_truth
from rankdet.evaluation.calibration import (
    binned,
    deployment_thresholds,
    errors_of,
    lrp_at,
    optimal_thresholds,
    position_d_ece,
    split,
)
from rankdet.evaluation.calibrators import (
    METHODS,
    TARGETS,
    Settings,
    _fitted,
    fit,
    read_calibration,
    write_calibration,
)
from rankdet.evaluation.common_images import refuse_common_images
from tests.unit.evaluation.cases import tiny
from tests.unit.evaluation.command import rankdet
from tests.unit.evaluation.populations import population

pytestmark = pytest.mark.filterwarnings("ignore")


def prepared(truth, rows, protocol="coco"):
    columns = read_ground_truth(truth, "bbox", protocol)
    return columns, read_detections(rows, columns)


def overconfident(seed, images=60, first_id=1):
    """Return a data set whose scores promise too much: near objects 0.5 to 1, elsewhere to 0.7."""
    rng = np.random.default_rng(seed)
    truth, rows = population(rng, images=images, classes=3, per_image=12)
    for row in [*truth["images"], *truth["annotations"], *rows]:
        key = "id" if "file_name" in row or "height" in row else "image_id"
        row[key] += first_id - 1
    for image in truth["images"]:
        image["file_name"] = f"{image['id']:06}.jpg"
    found = evaluate(truth, rows)
    assert found.numbers["AP50"] > 0.2
    columns, detections = prepared(truth, rows)
    judged = split(columns, detections, "bbox").loose
    assert len(judged.score) > 100
    near = {tuple(row["bbox"]) for row in truth["annotations"]}
    for row in rows:
        is_near = any(np.abs(np.subtract(row["bbox"], box)).max() < 8 for box in near)
        row["score"] = float(rng.uniform(0.5, 1.0) if is_near else rng.uniform(0.0, 0.7))
    return truth, rows


def naive(score, target, bins=25):
    """The expected calibration error by its definition."""
    total = 0.0
    for place in range(bins):
        low, high = place / bins, (place + 1) / bins
        rows = [i for i, s in enumerate(score) if low < s <= high or (place == 0 and s == 0)]
        if rows:
            gap = abs(np.mean([score[i] for i in rows]) - np.mean([target[i] for i in rows]))
            total += len(rows) / len(score) * gap
    return total


@pytest.mark.parametrize("protocol", ["coco", "lvis"])
def test_the_errors_are_those_of_their_definitions(protocol):
    truth, rows = population(np.random.default_rng(0), images=20, lvis=protocol == "lvis")
    truth["categories"].append({"id": 99, "name": "absent", "frequency": "r"})
    rows.append({**rows[0], "category_id": 99, "score": 0.9})
    columns, found = prepared(truth, rows, protocol)
    whole = split(columns, found, "bbox")
    own = calibration_errors(truth, rows, protocol=protocol)
    strict, loose = whole.strict, whole.loose
    present = whole.counts[strict.category] > 0
    expected = naive(strict.score[present], strict.is_true[present])
    assert own["D-ECE"] == pytest.approx(expected, abs=1e-12)
    la, la_0, ace = [], [], []
    for k in np.flatnonzero(whole.counts):
        some, any_of = strict.only(strict.category == k), loose.only(loose.category == k)
        if len(some.score):
            la.append(naive(some.score, some.iou * some.is_true))
            la_0.append(naive(any_of.score, any_of.iou))
            ace.append(np.mean([abs(s - v) for s, v in zip(any_of.score, any_of.iou, strict=True)]))
    expected = {"LaECE": np.mean(la), "LaECE_0": np.mean(la_0), "LaACE_0": np.mean(ace)}
    assert {name: own[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    assert not (strict.is_true & (strict.iou < 0.5)).any() and (loose.iou[loose.is_true] > 0).all()


def test_bins_hold_their_upper_ends():
    found = binned(np.array([0.0, 0.2, 0.2000001, 0.4, 1.0]), np.ones(5), bins=5)
    assert found.count.tolist() == [2, 2, 0, 0, 1]
    assert np.isnan(found.score[2]) and found.error == pytest.approx(
        naive([0, 0.2, 0.2, 0.4, 1], [1] * 5, 5), abs=1e-6
    )
    assert np.isnan(binned(np.zeros(0), np.zeros(0)).error)


def test_position_dependent_d_ece():
    rng = np.random.default_rng(1)
    score, features = rng.random(400), rng.random((400, 2))
    is_true = rng.random(400) < score * features[:, 0]
    cells = {}
    for i in range(400):
        key = tuple(min(int(np.ceil(v * 3)) - 1, 2) for v in (score[i], *features[i]))
        cells.setdefault(key, []).append(i)
    kept = [rows for rows in cells.values() if len(rows) >= 8]
    assert 5 < len(kept) < len(cells) or len(kept) == len(cells)
    gaps = [abs(score[rows].mean() - is_true[rows].mean()) * len(rows) for rows in kept]
    expected = sum(gaps) / sum(map(len, kept))
    assert position_d_ece(score, is_true, features, bins=3) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(position_d_ece(score[:3], is_true[:3], features[:3]))


def test_a_perfect_and_a_wrong_score():
    truth, rows = tiny(((0, 0, 40, 40),), ((0, 0, 40, 40, 1.0),))
    assert set(calibration_errors(truth, rows).values()) == {0.0}
    far = [{**rows[0], "bbox": [90, 90, 9, 9]}]
    assert set(calibration_errors(truth, far).values()) == {1.0}
    assert set(calibration_errors(truth, far, min_score=1.1).values()) == {None}
    part = [{**rows[0], "bbox": [20, 0, 40, 40]}]  # IoU 1/3: no true positive at 0.5
    found = calibration_errors(truth, part)
    assert (found["D-ECE"], found["LaECE"]) == (1.0, 1.0)
    assert found["LaECE_0"] == found["LaACE_0"] == pytest.approx(2 / 3)
    with pytest.raises(InputError, match=r"scores in \[0, 1\]"):
        calibration_errors(truth, [{**rows[0], "score": 3.5}])


def test_thresholds_and_lrp_are_those_of_the_evaluation():
    truth, rows = population(np.random.default_rng(2), images=25)
    whole, metrics = split(*prepared(truth, rows), "bbox"), evaluate(truth, rows)
    known = [row["oLRP_threshold"] for row in metrics.per_class]
    own = optimal_thresholds(whole)
    assert [None if np.isnan(each) else each for each in own] == known
    assert lrp_at(whole, own) == pytest.approx(metrics.numbers["oLRP"], abs=1e-12)
    assert lrp_at(whole, np.full(len(own), 2.0)) == 1.0
    shared = deployment_thresholds(whole, least=10**6)
    assert len(set(shared)) == 1
    assert lrp_at(whole, shared) <= min(
        lrp_at(whole, np.full(len(own), s)) for s in (0.3, 0.6, 0.9)
    )


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", METHODS)
def test_a_map_keeps_the_order_and_lowers_the_error_elsewhere(method, target, tmp_path):
    truth, rows = overconfident(3)
    other, results = overconfident(4, first_id=1000)
    columns, found = prepared(truth, rows)
    ids, names = columns.category_ids.tolist(), columns.category_names
    own = fit(split(columns, found, "bbox"), ids, names, Settings(method, target))
    assert all(each.map is not None for each in own.categories)
    write_calibration(tmp_path / "c.json", own)
    own = read_calibration(tmp_path / "c.json")
    tested = split(*prepared(other, results), "bbox")
    after = errors_of(tested.scored(lambda k, score: own.apply(np.array(ids)[k], score)))
    name = "LaECE_0" if target == "iou" else "D-ECE"
    assert after[name] < 0.6 * errors_of(tested)[name]
    category = np.array([row["category_id"] for row in results])
    score = np.array([row["score"] for row in results])
    changed = own.apply(category, score)
    assert changed.min() >= 0 and changed.max() <= 1
    for each in ids:
        before, now = score[category == each], changed[category == each]
        np.testing.assert_array_equal(np.argsort(before), np.argsort(now))
        assert len(set(now)) == len(set(before))
    again = [{**row, "score": value} for row, value in zip(results, changed.tolist(), strict=True)]
    first, second = evaluate(other, results), evaluate(other, again)
    assert first.numbers == second.numbers
    limits = [each.threshold for each in own.categories]
    assert all(0 < each < 1 for each in limits)


def test_platt_minimizes_the_cross_entropy_of_parts():
    rng = np.random.default_rng(5)
    score = rng.uniform(0.01, 0.99, 300)
    target = np.clip(score**2 + rng.normal(0, 0.1, 300), 0, 1)
    logit = np.log(score / (1 - score))

    def entropy(values):
        exponent = values[0] * logit + values[1]
        return np.sum(np.logaddexp(0, exponent) - target * exponent)

    best = minimize(entropy, [1.0, 0.0], tol=1e-12).x
    own = _fitted(score, target, "platt")
    assert (own.slope, own.intercept) == pytest.approx(tuple(best), abs=2e-3)
    assert entropy([own.slope, own.intercept]) <= entropy(best) + 1e-4
    falling = _fitted(score, 1 - target, "platt")
    assert falling.slope == 0.0 and _fitted(score, 1 - target, "linear").slope == 0.0
    assert (np.diff(falling(np.sort(score))) > 0).all()
    assert _fitted(score, np.ones(300), "platt").problem() is None


def test_rare_classes_share_a_map_and_a_threshold(monkeypatch):
    truth, rows = overconfident(6, images=10)
    columns, found = prepared(truth, rows)
    names = columns.category_ids.tolist(), columns.category_names
    own = fit(split(columns, found, "bbox"), *names, Settings(least=10**6))
    assert {each.map for each in own.categories} == {None}
    alone = fit(split(columns, found, "bbox"), *names, Settings(per_class=False))
    assert alone.common == own.common
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "sklearn", None)  # importing it fails
        with pytest.raises(ModuleNotFoundError, match=r'pip install "rankdet\[calibration\]"'):
            fit(split(*prepared(truth, rows), "bbox"), [1], ["one"])
    with pytest.raises(InputError, match="match annotations"):
        fit(split(*prepared(truth, []), "bbox"), *names)
    with pytest.raises(InputError, match="method one of"):
        Settings("beta")


BAD = [
    (lambda d: d.pop("format"), "rankdet-calibration"),
    (lambda d: d.update(version=2), "version 1"),
    (lambda d: d.pop("common"), "calibration file"),
    (lambda d: d.update(more=1), "more"),
    (lambda d: d["common"].update(kind="spline"), "spline"),
    (lambda d: d["common"].update(y=d["common"]["y"][::-1]), "do not ascend"),
    (lambda d: d["common"].update(x=d["common"]["x"][:-1]), "x for"),
    (lambda d: d["common"].update(y=[2 * v + 1 for v in d["common"]["y"]]), "outside of"),
    (lambda d: d["categories"][0].update(map={"kind": "linear", "slope": -1.0}), "slope below 0"),
    (lambda d: d["categories"][0].update(id="1"), "calibration file"),
    (lambda d: d["categories"][0].update(id=2), "do not ascend"),
    (lambda d: d["categories"][0].update(threshold=1.5), "threshold outside"),
    (lambda d: d["categories"].clear(), "or none"),
]


@pytest.mark.parametrize(("change", "word"), BAD, ids=range(len(BAD)))
def test_damaged_calibrations_are_refused(change, word, tmp_path):
    columns, found = prepared(*overconfident(6, images=10))
    own = fit(split(columns, found, "bbox"), columns.category_ids.tolist(), columns.category_names)
    path = tmp_path / "c.json"
    write_calibration(path, own)
    assert read_calibration(path) == own
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=word):
        read_calibration(path)
    path.write_text("[1]")
    with pytest.raises(InputError, match="another kind"):
        read_calibration(path)


def test_other_classes_are_refused():
    columns, found = prepared(*overconfident(6, images=10))
    ids, names = columns.category_ids.tolist(), columns.category_names
    own = fit(split(columns, found, "bbox"), ids, names)
    own.require(ids[::-1], names[::-1])
    for wrong in ((ids, ["c1", "c2", "x"]), ([1, 2, 4], names), (ids[:2], names[:2])):
        with pytest.raises(InputError, match="classes of the calibration"):
            own.require(*wrong)
    with pytest.raises(InputError, match="category ids 7"):
        own.apply(np.array([1, 7]), np.array([0.1, 0.2]))
    with pytest.raises(InputError, match="scores in"):
        own.apply(np.array([1]), np.array([1.2]))


def renamed(truth, rows, detections_too=True):
    """Return the same images under other ids and file names, in another order."""
    truth, rows = copy.deepcopy((truth, rows))
    for row in truth["images"]:
        row.update(id=row["id"] + 5000, file_name=f"copy-{row['id']}.png")
    for row in truth["annotations"] + (rows if detections_too else []):
        row["image_id"] += 5000
    truth["annotations"].reverse()
    for place, row in enumerate(truth["annotations"]):
        row["id"] = place + 1
    return truth, rows


def test_the_same_images_under_other_names_are_found():
    truth, rows = overconfident(7, images=12)
    first = prepared(truth, rows)
    other = prepared(*overconfident(8, images=12, first_id=1))  # the same ids and names
    with pytest.raises(InputError, match="12 images in both"):
        refuse_common_images(*first, *other)
    apart = prepared(*overconfident(8, images=12, first_id=100))
    refuse_common_images(*first, *apart)
    with pytest.raises(InputError, match="images in both"):  # by annotations
        refuse_common_images(*first, *prepared(renamed(truth, rows)[0], []))
    copies, found = renamed(truth, rows)
    bare = {**copies, "annotations": []}
    with pytest.raises(InputError, match="images in both, such as id 50"):  # by detections
        refuse_common_images(*first, *prepared(bare, found))
    simple = tiny(((0, 0, 20, 20),), ((0, 0, 20, 20, 0.5),))
    twin = copy.deepcopy(simple)
    refuse_common_images(*prepared(*simple), *prepared(*twin))  # one equal box proves nothing


@pytest.fixture
def files(tmp_path):
    for name, data in {"fit": overconfident(3), "test": overconfident(4, first_id=1000)}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(data[0]))
        (tmp_path / f"{name}-found.json").write_text(json.dumps(data[1]))
    return tmp_path


def test_the_command_fits_on_one_file_and_tests_on_another(files):
    command = ["calibrate", "--annotations", files / "fit.json"]
    command += ["--detections", files / "fit-found.json", "--out", files / "c.json"]
    test = ["--test-annotations", files / "test.json"]
    test += ["--test-detections", files / "test-found.json", "--figures", files / "figures"]
    printed, _ = rankdet(*command, *test)
    assert "fitted on 60 images, 3 of 3 classes" in printed and "60 other images" in printed
    assert sorted(path.name for path in (files / "figures").iterdir()) == [
        "reliability.png",
        "reliability.svg",
    ]
    words = (files / "figures/reliability.svg").read_text().partition("<desc>")[2]
    gaps = re.findall(r"(before|after): mean gap (\d+\.\d) over (\d+) detections", words)
    (one, before, first), (two, after, second) = gaps
    assert (one, two) == ("before", "after") and 0 < int(first) == int(second)
    assert float(after) < float(before)
    record = read_calibration(files / "c.json").record
    assert record["all"]["after"]["LaECE_0"] < record["all"]["before"]["LaECE_0"]
    plain = calibration_errors(files / "test.json", files / "test-found.json")
    assert record["all"]["before"] == plain
    once = (files / "c.json").read_bytes()
    rankdet(*command, *test)
    assert (files / "c.json").read_bytes() == once


def test_the_command_divides_one_data_set(files):
    words = ["calibrate", "--annotations", files / "fit.json", "--method", "platt"]
    words += ["--detections", files / "fit-found.json", "--out", files / "c.json"]
    printed, _ = rankdet(*words, "--hold-out", 0.25, "--no-per-class")
    assert "fitted on 45 images, 0 of 3 classes" in printed and "15 other images" in printed


TEST = ("--test-detections",)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "never tested on the images of its fit"),
        (["--hold-out", "1.5"], "--hold-out between 0 and 1"),
        (["--hold-out", "0.001"], "an image in each part"),
        (["--hold-out", "0.5", "--method", "beta"], "method one of"),
        (["--hold-out", "0.5", "--iou-type", "points"], "--iou-type one of"),
        (["--test-annotations", "test.json"], "a part of them"),
        ([*TEST, "copy-found.json", "--test-annotations", "copy.json"], "in both"),
        (
            ["--test-annotations", "fewer.json", "--test-detections", "test-found.json"],
            "the same cat",
        ),
        (["--test-annotations", "none.json", "--test-detections", "test-found.json"], "no file"),
    ],
)
def test_bad_options_are_refused(files, more, message):
    copies = renamed(*(json.loads((files / f"fit{n}.json").read_text()) for n in ("", "-found")))
    (files / "copy.json").write_text(json.dumps(copies[0]))
    (files / "copy-found.json").write_text(json.dumps(copies[1]))
    fewer = json.loads((files / "test.json").read_text())
    fewer["categories"].pop()
    (files / "fewer.json").write_text(json.dumps(fewer))
    more = [files / each if str(each).endswith(".json") else each for each in more]
    words = ["calibrate", "--annotations", files / "fit.json", "--out", files / "c.json"]
    _, error = rankdet(*words, "--detections", files / "fit-found.json", *more, expect=2)
    assert message in error and not (files / "c.json").exists()


def test_predicted_scores_are_calibrated(files, tmp_path):
    predict = pytest.importorskip("rankdet.training.predict")
    columns, found = prepared(*(files / f"fit{n}.json" for n in ("", "-found")))
    own = fit(split(columns, found, "bbox"), columns.category_ids.tolist(), columns.category_names)
    predict.write_calibrated(files / "fit-found.json", own, tmp_path / "new.json")
    before, after = (
        json.loads(path.read_text()) for path in (files / "fit-found.json", tmp_path / "new.json")
    )
    scores = own.apply(found.category_id, found.score)
    assert [row.pop("score") for row in after] == scores.tolist()
    assert after == [{k: v for k, v in row.items() if k != "score"} for row in before]
    (tmp_path / "empty.json").write_text("[]")
    predict.write_calibrated(tmp_path / "empty.json", own, tmp_path / "new.json")
    assert json.loads((tmp_path / "new.json").read_text()) == []


def test_predict_refuses_a_wrong_calibration_at_once(files):
    (files / "c.json").write_text("{}")
    words = ["predict", "rs_atss_r50", "--preset", "smoke", "--calibration", files / "c.json"]
    words += ["--checkpoint", files / "none.pth", "--out", files / "o.json", "--work-dir", files]
    _, error = rankdet(*words, expect=2)
    assert "rankdet-calibration" in error
