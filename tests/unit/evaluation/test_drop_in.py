"""COCOeval: the arrays, numbers and lines of pycocotools, and oLRP besides."""

import contextlib
import copy
import io
import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval as Reference

from rankdet.errors import InputError
from rankdet.evaluation import COCOeval, evaluate, read_detections, read_ground_truth
from tests.unit.evaluation import cases

pytestmark = pytest.mark.filterwarnings("ignore")


def coco(truth, rows):
    """Return both COCO objects; copies, because pycocotools writes into them."""
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = COCO()
        ground_truth.dataset = copy.deepcopy({"info": {}, "licenses": [], **truth})
        ground_truth.createIndex()
        return ground_truth, ground_truth.loadRes(copy.deepcopy(rows))


def run(kind, truth, rows, iou_type, change=lambda params: None):
    """Return the finished evaluation and the lines that it printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        judge = kind(truth, rows, iou_type)
        change(judge.params)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge, printed.getvalue().splitlines()


def numbers_in(lines):
    return [line for line in lines if " @[ IoU=" in line]


def equal(own, reference):
    for name in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(own.eval[name], reference.eval[name], err_msg=name)
        assert own.eval[name].dtype == reference.eval[name].dtype
    assert own.eval["counts"] == reference.eval["counts"]
    np.testing.assert_array_equal(own.stats, reference.stats)
    for name in ("imgIds", "catIds", "maxDets"):
        assert list(getattr(own.params, name)) == list(getattr(reference.params, name))


@st.composite
def choices(draw):
    """Draw changes of the parameters: some images, some categories, other limits."""
    images = draw(st.none() | st.lists(st.integers(1, 3), max_size=3))
    categories = draw(st.none() | st.lists(st.integers(1, 4), max_size=4))
    limits = draw(st.sampled_from([[1, 10, 100], [100, 1, 10], [1, 2, 3], [2, 100, 300]]))

    def change(params):
        params.maxDets = list(limits)
        if images is not None:
            params.imgIds = [each for each in images if each in params.imgIds]
        if categories is not None:
            params.catIds = list(categories)

    return change


@settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(cases.datasets(), choices())
def test_random_small_cases(case, change):
    truth, rows, iou_type = case
    reference, lines = run(Reference, *coco(truth, rows), iou_type, change)
    own, own_lines = run(COCOeval, *coco(truth, rows), iou_type, change)
    equal(own, reference)
    assert numbers_in(own_lines)[:12] == numbers_in(lines)
    steps = ("Running per image", "Evaluate annotation type *", "Accumulating evaluation")
    assert [line for line in own_lines if line.startswith(steps)] == [
        line for line in lines if line.startswith(steps)
    ]


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(cases.datasets())
def test_olrp_is_that_of_evaluate(case):
    truth, rows, iou_type = case
    expected = evaluate(truth, rows, iou_type).numbers
    for given_truth, given_rows in (
        (truth, rows),
        (read_ground_truth(truth, iou_type), read_detections(rows)),
    ):
        judge, lines = run(COCOeval, given_truth, given_rows, iou_type)
        assert judge.olrp == {name: expected[name] for name in judge.olrp}
        assert len(judge.olrp) == 7 and len(numbers_in(lines)) == 19
    value = -1 if expected["oLRP"] is None else expected["oLRP"]
    assert numbers_in(lines)[12] == (
        f" Optimal LRP Error  (oLRP) @[ IoU=0.50      | area=   all | maxDets=100 ] = {value:0.3f}"
    )


def test_files(tmp_path):
    truth, rows = cases.tiny(found=((12, 10, 40, 40, 0.9), (80, 80, 30, 30, 0.4)))
    for name, content in (("truth", truth), ("rows", rows), ("masks", cases.with_masks(rows))):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    for iou_type, name in (("bbox", "rows"), ("segm", "masks")):
        paths = str(tmp_path / "truth.json"), str(tmp_path / f"{name}.json")
        with contextlib.redirect_stdout(io.StringIO()):
            objects = COCO(paths[0]), COCO(paths[0]).loadRes(paths[1])
        reference, _ = run(Reference, *objects, iou_type)
        for given_paths in (paths, objects):
            own, _ = run(COCOeval, *given_paths, iou_type)
            equal(own, reference)


SCRIPT = """
import sys
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

annotations, results = sys.argv[1:]
coco = COCO(annotations)
found = coco.loadRes(results)
judge = COCOeval(coco, found, "bbox")
judge.params.imgIds = sorted(coco.getImgIds())[:2]
judge.evaluate()
judge.accumulate()
judge.summarize()
print(*[repr(float(value)) for value in judge.stats])
precisions = judge.eval["precision"]
for index, category in enumerate(judge.params.catIds):
    precision = precisions[:, :, index, 0, -1]
    precision = precision[precision > -1]
    print(coco.loadCats(int(category))[0]["name"], precision.mean() if precision.size else None)
print(judge.eval["recall"].sum(), judge.eval["scores"].max())
"""


def test_a_script_written_for_pycocotools(tmp_path):
    """Only the line of the import is changed."""
    rng = np.random.default_rng(0)
    boxes = [
        [*rng.integers(0, 60, 2).tolist(), *rng.integers(8, 50, 2).tolist()] for _ in range(30)
    ]
    truth, _ = cases.tiny(boxes)
    truth["images"] = [{**truth["images"][0], "id": each} for each in (1, 2, 3)]
    truth["categories"] = [{"id": each, "name": f"c{each}"} for each in (1, 2, 5)]
    truth |= {"info": {}, "licenses": []}
    rows = []
    for row in truth["annotations"]:
        own = dict(image_id=int(rng.integers(1, 4)), category_id=int(rng.choice([1, 2, 5])))
        row |= own
        shifted = [row["bbox"][0] + 2, *row["bbox"][1:]]
        rows.append({**own, "bbox": shifted, "score": float(rng.random())})
    for name, content in (("truth.json", truth), ("rows.json", rows)):
        (tmp_path / name).write_text(json.dumps(content))
    changed = SCRIPT.replace(
        "from pycocotools.cocoeval import COCOeval", "from rankdet.evaluation import COCOeval"
    )
    assert changed != SCRIPT
    outputs = []
    for script in (SCRIPT, changed):
        command = [sys.executable, "-c", script, tmp_path / "truth.json", tmp_path / "rows.json"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        kept = (line for line in done.stdout.splitlines() if "t=" not in line)
        outputs.append([line for line in kept if "LRP" not in line])
    assert outputs[0] == outputs[1]
    assert len(numbers_in(outputs[0])) == 12


def judge_of(iou_type="bbox"):
    truth, rows = cases.tiny()
    return COCOeval(truth, cases.with_masks(rows, keep_boxes=True), iou_type)


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("iouThrs", np.array([0.5]), r"params\.iouThrs of COCO"),
        ("iouThrs", np.linspace(0.5, 0.9, 10), r"params\.iouThrs of COCO"),
        ("recThrs", np.linspace(0, 1, 11), r"params\.recThrs"),
        ("areaRng", [[0, 1e10]], r"params\.areaRng"),
        ("areaRngLbl", ["a", "b", "c", "d"], r"params\.areaRngLbl"),
        ("useCats", 0, "one category to ignore the categories"),
        ("maxDets", [], "positive integers"),
        ("maxDets", [0, 1, 2], "positive integers"),
        ("maxDets", [1.5], "positive integers"),
        ("maxDets", 100, "positive integers"),
        ("iouType", "keypoints", "iou_types one of"),
    ],
)
def test_what_is_not_supported(name, value, match):
    judge = judge_of()
    setattr(judge.params, name, value)
    with contextlib.redirect_stdout(io.StringIO()), pytest.raises(InputError, match=match):
        judge.evaluate()


def test_steps_out_of_order():
    with pytest.raises(InputError, match="call evaluate"):
        judge_of().accumulate()
    with pytest.raises(InputError, match="call accumulate"):
        judge_of().summarize()
    with pytest.raises(InputError, match="ground truth and detections"):
        COCOeval(iouType="bbox").evaluate()
    with pytest.raises(InputError, match="detections; got None"):
        COCOeval(cases.tiny()[0], iouType="bbox")
    with pytest.raises(InputError, match="iouType bbox or segm"):
        COCOeval(iouType="keypoints")
    judge = judge_of()
    for name in ("evalImgs", "ious"):
        with pytest.raises(InputError, match="per image"):
            getattr(judge, name)
    judge.params.maxDets = [1, 10]
    judge.evaluate()
    with pytest.raises(InputError, match="whole evaluation"):
        judge.accumulate(copy.copy(judge.params))
    judge.accumulate()
    with pytest.raises(InputError, match=r"three numbers in params\.maxDets"):
        judge.summarize()


def test_another_type_and_another_protocol(capsys):
    judge = judge_of("segm")
    judge.params.iouType = "bbox"
    judge.evaluate()
    judge.accumulate()
    str(judge)
    assert "Evaluate annotation type *bbox*" in capsys.readouterr().out
    assert judge.stats[0] == pytest.approx(1)
    truth, rows = cases.tiny()
    truth["images"][0].update(neg_category_ids=[], not_exhaustive_category_ids=[])
    truth["categories"][0]["frequency"] = "f"
    with pytest.raises(InputError, match="read by the lvis protocol"):
        COCOeval(read_ground_truth(truth, "bbox", "lvis"), rows, "bbox")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        COCOeval(truth, rows, "bbox")
