"""Arguments that two calls share: taken over from the first call, or refused, never mixed."""

import json
import warnings

import numpy as np
import pytest

from rankdet.errors import InputError
from rankdet.evaluation import Detections, evaluate, read_detections, read_ground_truth
from rankdet.evaluation.judge import check, differences
from rankdet.evaluation.submission import pack
from tests.unit.evaluation.cases import tiny, with_masks

OTHER = {"coco": "lvis", "lvis": "coco"}


@pytest.fixture
def federated():
    """Annotations whose numbers differ by protocol: a crowd, one to ignore, one without area."""
    boxes = ((10, 10, 40, 40), (60, 10, 40, 40), (10, 60, 40, 40), (60, 60, 40, 40))
    found = [(*box, 0.9 - number / 10) for number, box in enumerate(boxes)]
    truth, rows = tiny(boxes, found)
    truth["images"][0].update(neg_category_ids=[2], not_exhaustive_category_ids=[])
    truth["categories"] = [
        {"id": number, "name": f"c{number}", "frequency": "rcf"[number - 1]} for number in (1, 2, 3)
    ]
    truth["annotations"][0]["iscrowd"] = 1
    truth["annotations"][1]["ignore"] = 1
    truth["annotations"][2]["area"] = 0
    rows = with_masks([*rows, {**rows[0], "category_id": 2}], keep_boxes=True)
    return truth, rows


def alike(metrics, other):
    assert metrics.numbers == other.numbers
    assert metrics.per_class == other.per_class
    assert metrics.arguments == other.arguments


# protocol


@pytest.mark.parametrize("protocol", OTHER)
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_the_protocol_is_that_of_the_object(federated, protocol, iou_type):
    truth, rows = federated
    expected = evaluate(truth, rows, iou_type, protocol)
    read = read_ground_truth(truth, protocol=protocol)
    alike(evaluate(read, rows, iou_type), expected)
    alike(evaluate(read, rows, iou_type, protocol), expected)
    alike(evaluate(read_ground_truth(read), rows, iou_type), expected)
    assert expected.numbers != evaluate(truth, rows, iou_type, OTHER[protocol]).numbers
    assert ("APr" in expected.numbers) == (protocol == "lvis")


@pytest.mark.parametrize("protocol", OTHER)
def test_another_protocol_is_refused(federated, protocol):
    truth, rows = federated
    read, other = read_ground_truth(truth, protocol=protocol), OTHER[protocol]
    message = f"read by the {other} protocol; got one read by the {protocol} protocol"
    for call in (
        lambda: evaluate(read, rows, "bbox", other),
        lambda: read_ground_truth(read, protocol=other),
    ):
        with pytest.raises(InputError, match=message):
            call()
    with pytest.raises(InputError, match="protocol coco or lvis; got 'voc'"):
        read_ground_truth(read, protocol="voc")


def test_the_default_is_coco_with_a_warning_for_an_lvis_file(federated, tmp_path):
    truth, rows = federated
    path = tmp_path / "lvis.json"
    path.write_text(json.dumps(truth))
    for source in (truth, path):
        with pytest.warns(UserWarning, match="LVIS fields and are evaluated by the COCO protocol"):
            numbers = evaluate(source, rows).numbers
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert evaluate(source, rows, protocol="coco").numbers == numbers
    for row in truth["categories"]:
        del row["frequency"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert evaluate(truth, rows).numbers == numbers


def test_limits_obey_the_protocol_of_the_object(federated):
    truth, rows = federated
    read = read_ground_truth(truth, protocol="lvis")
    with pytest.raises(InputError, match="limits, only for COCO"):
        evaluate(read, rows, limits=(1, 10))
    assert "AR300" in evaluate(read, rows).numbers


# IoU types


@pytest.mark.parametrize(("read_for", "asked"), [("bbox", "segm"), ("segm", "bbox")])
def test_what_was_not_read_is_not_evaluated(federated, read_for, asked):
    truth, rows = federated
    for given in (read_for, (read_for,), iter([read_for])):
        read = read_ground_truth(truth, given, "coco")
        assert read.iou_types == (read_for,)
        for call in (
            lambda read=read: evaluate(read, rows, asked),
            lambda read=read: read_ground_truth(read, (asked,)),
            lambda read=read: read_ground_truth(read, ("bbox", "segm")),
        ):
            with pytest.raises(InputError, match=f"read for {asked}; got one read for {read_for};"):
                call()
        alike(evaluate(read, rows, read_for), evaluate(truth, rows, read_for, "coco"))
        assert read_ground_truth(read) is read


def test_both_types_are_read_by_default(federated):
    truth, rows = federated
    read = read_ground_truth(truth, protocol="coco")
    assert read.iou_types == ("bbox", "segm")
    for iou_type in read.iou_types:
        alike(evaluate(read, rows, iou_type), evaluate(truth, rows, iou_type, "coco"))


@pytest.mark.parametrize("iou_types", ["box", (), ["bbox", "keypoints"], "bbox,segm", [None]])
def test_unknown_iou_types(federated, iou_types):
    with pytest.raises(InputError, match="iou_types one of bbox, segm"):
        read_ground_truth(federated[0], iou_types, "coco")


# detections


def test_detections_are_those_of_the_file(federated, tmp_path):
    truth, rows = federated
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    read = read_detections(path)
    for iou_type in ("bbox", "segm"):
        alike(evaluate(truth, read, iou_type, "coco"), evaluate(truth, rows, iou_type, "coco"))


@pytest.mark.parametrize("column", ["image_id", "category_id", "score", "box", "segmentation"])
def test_columns_of_different_lengths(column):
    columns = dict(
        image_id=np.ones(3, dtype=np.int64),
        category_id=np.ones(3, dtype=np.int64),
        score=np.ones(3),
        box=np.ones((3, 4)),
        segmentation=[{}] * 3,
    )
    columns[column] = columns[column][:2]
    with pytest.raises(InputError, match=f"columns of one length in Detections; got .*{column} 2"):
        Detections(**columns)


# the judge


@pytest.mark.parametrize(
    "arguments",
    [
        dict(iou_type="segm"),
        dict(protocol="lvis"),
        dict(area="mask"),
        dict(area="box"),
        dict(limits=(1, 10, 50)),
        dict(limits=(5,)),
    ],
)
def test_metrics_of_other_arguments_are_not_judged(federated, arguments):
    truth, rows = federated
    metrics = evaluate(truth, rows, **{"protocol": "coco", **arguments})
    for judge in (check, differences):
        with pytest.raises(
            InputError, match="to compare with pycocotools; got metrics of iou_type"
        ):
            judge(metrics, truth, rows, "bbox")


def test_metrics_are_judged_by_files(federated):
    truth, rows = federated
    del truth["annotations"][1]["ignore"]
    metrics = evaluate(truth, rows, protocol="coco")
    check(metrics, truth, rows, "bbox")
    with pytest.raises(InputError, match="annotations as a file or the parsed JSON"):
        check(metrics, read_ground_truth(truth, protocol="coco"), rows, "bbox")
    with pytest.raises(InputError, match="detections as a file or the parsed JSON"):
        check(metrics, truth, read_detections(rows), "bbox")


# submission


@pytest.mark.parametrize(("given", "name"), [("test2017", "test-dev2017"), ("a", "b")])
def test_a_submission_of_one_test_set_with_the_images_of_another(tmp_path, given, name):
    _, rows = tiny()
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    info = tmp_path / f"image_info_{given}.json"
    info.write_text(json.dumps({"images": [{"id": 1}]}))
    with pytest.raises(
        InputError, match=f"images of {name}, the test set.*name the test set {given}"
    ):
        pack(tmp_path / "rows.json", "rs", tmp_path / "out", info, name)
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    assert pack(tmp_path / "rows.json", "rs", tmp_path / "out", info, given)[1].is_file()
