"""The mmdet metric: the numbers of `evaluate` on the file that it writes."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("mmdet", reason="the metric is an mmdet plug-in")

from mmdet.registry import METRICS  # noqa: E402
from mmdet.structures import DetDataSample  # noqa: E402
from mmengine.structures import InstanceData  # noqa: E402

from rankdet.errors import InputError  # noqa: E402
from rankdet.evaluation import evaluate  # noqa: E402
from rankdet.models.metric import RankdetMetric  # noqa: E402
from tests.unit.evaluation.cases import SIDE, tiny  # noqa: E402


@pytest.fixture
def truth(tmp_path):
    """Two images; category ids with a gap, and one class that the model does not know."""
    truth, _ = tiny(((10, 10, 40, 40), (60, 60, 50, 40)))
    truth["images"].append({**truth["images"][0], "id": 8})
    truth["categories"] = [{"id": i, "name": f"c{i}"} for i in (1, 5, 9)]
    truth["annotations"][1]["category_id"] = 9
    truth["annotations"].append({**truth["annotations"][1], "id": 3, "category_id": 5})
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    return truth


def sample(image_id, boxes, scores, labels):
    """A data sample as the Runner gives it to the metric: a dictionary of a DetDataSample."""
    corners = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    masks = torch.zeros(len(boxes), SIDE, SIDE, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, corners.int().tolist(), strict=True):
        mask[top:bottom, left:right] = True
    instances = InstanceData(
        bboxes=corners,
        scores=torch.tensor(scores, dtype=torch.float32),
        labels=torch.tensor(labels, dtype=torch.long),
        masks=masks,
    )
    result = DetDataSample(pred_instances=instances, metainfo={"img_id": image_id})
    return result.to_dict()


def predictions():
    return [
        sample(1, [[11.3, 10, 50, 50.7], [60, 60, 110, 100]], [0.9, 0.3], [0, 1]),
        sample(8, [], [], []),
    ]


def run(metric, samples, classes=("c1", "c9")):
    metric.dataset_meta = {"classes": classes}
    for each in samples:
        metric.process(None, [each])
    return metric.evaluate(len(samples))


def test_numbers_are_those_of_the_file_it_writes(truth, tmp_path):
    out = tmp_path / "detections.json"
    metric = METRICS.build(
        {
            "type": "RankdetMetric",
            "ann_file": str(tmp_path / "truth.json"),
            "iou_types": ["bbox", "segm"],
            "out_file": str(out),
        }
    )
    found = run(metric, predictions())
    rows = json.loads(out.read_text())
    assert [row["category_id"] for row in rows] == [1, 9]  # label 1 is category 9, not 2
    assert rows[0]["bbox"] == pytest.approx([11.3, 10, 38.7, 40.7], abs=1e-5)
    known = {**truth, "categories": [truth["categories"][0], truth["categories"][2]]}
    for iou_type in ("bbox", "segm"):
        expected = evaluate(known, rows, iou_type).numbers
        own = {name: found.get(f"rankdet/{iou_type}/{name}") for name in expected}
        assert own == expected
        assert own["APl"] is None
    assert 0 < found["rankdet/bbox/oLRP"] < 0.2
    assert found == run(metric, predictions())  # the next epoch starts afresh


def test_masks_only(truth, tmp_path):
    out = tmp_path / "detections.json"
    metric = RankdetMetric(str(tmp_path / "truth.json"), "segm", out_file=str(out))
    found = run(metric, predictions())
    assert all("bbox" not in row for row in json.loads(out.read_text()))
    assert found["rankdet/segm/AP50"] == pytest.approx(1)


def test_a_model_that_finds_nothing(truth, tmp_path):
    metric = RankdetMetric(str(tmp_path / "truth.json"))
    found = run(metric, [sample(1, [], [], []), sample(8, [], [], [])])
    assert found["rankdet/bbox/AP"] == 0
    assert found["rankdet/bbox/oLRP"] == 1
    assert "rankdet/bbox/oLRP_loc" not in found


def test_mistakes_of_the_config(truth, tmp_path):
    path = str(tmp_path / "truth.json")
    with pytest.raises(InputError, match=r"the 2 classes of the dataset in truth\.json; got 1"):
        run(RankdetMetric(path), predictions(), classes=("c1", "cat"))
    with pytest.raises(InputError, match="labels below 1"):
        run(RankdetMetric(path), predictions(), classes=("c1",))
    broken = [sample(1, [[0, 0, 9, float("nan")]], [0.5], [0])]
    with pytest.raises(InputError, match="diverged"):
        run(RankdetMetric(path), broken)


def test_lvis(truth, tmp_path):
    for image in truth["images"]:
        image |= {"neg_category_ids": [], "not_exhaustive_category_ids": []}
    for row in truth["categories"]:
        row["frequency"] = "c"
    path = tmp_path / "lvis.json"
    path.write_text(json.dumps(truth))
    metric = RankdetMetric(str(path), protocol="lvis")
    found = run(metric, predictions(), classes=("c1", "c5", "c9"))
    assert found["rankdet/bbox/APc"] == found["rankdet/bbox/AP"]
    assert np.isfinite(found["rankdet/bbox/oLRPc"])


def test_a_warning_of_the_evaluation_stands_in_the_log(truth, tmp_path, capfd):
    """As in a training: where mmengine has a logger, it takes levels as numbers only."""
    from mmengine.logging import MMLogger

    for image in truth["images"]:
        image.update(neg_category_ids=[], not_exhaustive_category_ids=[])
    for category in truth["categories"]:
        category["frequency"] = "f"
    truth["annotations"] = truth["annotations"][:1]
    (tmp_path / "lvis.json").write_text(json.dumps(truth))
    MMLogger.get_instance("warnings of the metric", logger_name="warnings of the metric")
    metric = RankdetMetric(str(tmp_path / "lvis.json"), protocol="lvis", category_ids=[1, 5, 9])
    found = run(metric, [sample(8, [[1, 1, 30, 30]], [0.9], [1])], ("c1", "c5", "c9"))
    assert found["rankdet/bbox/AP"] == 0
    assert "none of the 1 detections counts" in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("ids", "classes", "match"),
    [
        ([1, 5, 9], ("c1", "c9"), "of the dataset's 2 classes"),
        ([1, 5], ("c1", "c9"), r"classes: \['c1', 'c9'\]; got the ids of 2: \['c1', 'c5'\]"),
        ([9, 1], ("c1", "c9"), "in the order of the classes"),
        ([1, 2], ("c1", "c9"), "unknown ids: \\[2\\]"),
        ([1, 1], ("c1", "c9"), "an id twice"),
        ([1], None, "labels below 1"),
    ],
)
def test_ids_classes_and_annotations_that_disagree(truth, tmp_path, ids, classes, match):
    metric = RankdetMetric(str(tmp_path / "truth.json"), category_ids=ids)
    with pytest.raises(InputError, match=match):
        run(metric, predictions(), classes)


@pytest.mark.parametrize("classes", [("c1", "c9"), ("person", "car"), None])
def test_ids_and_classes_that_agree(truth, tmp_path, classes):
    """Named by the file, named otherwise, or not named: only these categories are evaluated."""
    expected = run(RankdetMetric(str(tmp_path / "truth.json")), predictions())
    metric = RankdetMetric(str(tmp_path / "truth.json"), category_ids=[1, 9])
    assert run(metric, predictions(), classes) == expected


def test_other_classes_in_the_next_evaluation(truth, tmp_path):
    metric = RankdetMetric(str(tmp_path / "truth.json"))
    for classes in (("c1", "c9"), ("c1", "c5"), ("c1", "c9")):
        expected = run(RankdetMetric(str(tmp_path / "truth.json")), predictions(), classes)
        assert run(metric, predictions(), classes) == expected


@pytest.mark.parametrize(
    "arguments", [dict(iou_types="box"), dict(iou_types=[]), dict(protocol="voc")]
)
def test_unknown_words_are_refused_before_the_training(tmp_path, arguments):
    with pytest.raises(InputError, match="one of"):
        RankdetMetric(str(tmp_path / "truth.json"), **arguments)
