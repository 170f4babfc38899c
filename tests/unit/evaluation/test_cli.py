"""The verbs ``evaluate`` and ``submission``: what they write, what they refuse, exit codes."""

import json
import zipfile

import pytest

from rankdet.evaluation import evaluate
from tests.unit.evaluation.cases import tiny, with_masks
from tests.unit.evaluation.command import rankdet


@pytest.fixture
def files(tmp_path):
    truth, rows = tiny(found=((12, 10, 40, 40, 0.9), (80, 80, 30, 30, 0.4)))
    contents = {
        "truth": truth,
        "boxes": rows,
        "masks": with_masks(rows),
        "manifest": {"format": "coco", "val": {"annotations": "truth.json"}},
    }
    for name, content in contents.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return tmp_path


def test_evaluate_writes_both_types_and_curves(files):
    out, curves = files / "new/metrics.json", files / "curves.json"
    printed, _ = rankdet(
        *("evaluate", "--annotations", files / "truth.json", "--out", out, "--curves", curves),
        *("--detections", files / "boxes.json", "--iou-type", "bbox"),
        *("--detections", files / "masks.json", "--iou-type", "segm", "--check"),
    )
    assert printed.count("= pycocotools") == 2
    document = json.loads(out.read_text())
    truth, boxes, masks = (
        json.loads((files / f"{name}.json").read_text()) for name in ("truth", "boxes", "masks")
    )
    assert document["bbox"] == evaluate(truth, boxes).numbers
    assert document["segm"] == evaluate(truth, masks, "segm").numbers
    assert document["bbox"]["APl"] is None
    row = document["per_class"]["segm"][0]
    assert (row["name"], row["oLRP_threshold"]) == ("thing", 0.9)
    drawn = json.loads(curves.read_text())
    assert set(drawn) == {"bbox", "segm"}
    assert len(drawn["bbox"]["recall"]) == len(drawn["bbox"]["precision"]["mean"]) == 101
    assert len(drawn["bbox"]["score"]) == len(drawn["bbox"]["LRP"])
    assert drawn["bbox"]["per_class"][0]["oLRP_threshold"] == 0.9


def test_evaluate_reads_a_manifest(files):
    out = files / "metrics.json"
    rankdet(
        *("evaluate", "--dataset", files / "manifest.json", "--out", out),
        *("--detections", files / "boxes.json"),
    )
    assert json.loads(out.read_text())["bbox"]["AP50"] > 0.99


def test_evaluate_takes_the_folder_of_a_manifest(files):
    outs = files / "of folder.json", files / "of file.json"
    (files / "dataset.json").write_text((files / "manifest.json").read_text())
    for dataset, out in zip((files, files / "dataset.json"), outs, strict=True):
        rankdet(
            *("evaluate", "--dataset", dataset, "--out", out),
            *("--detections", files / "boxes.json"),
        )
    assert outs[0].read_text() == outs[1].read_text()
    (files / "dataset.json").unlink()
    _, error = rankdet(
        *("evaluate", "--dataset", files, "--out", files / "x.json"),
        *("--detections", files / "boxes.json"),
        expect=2,
    )
    assert "no file at" in error and "dataset.json" in error and error.count("\n") == 1


def test_evaluate_warns_once_that_nothing_counts(files):
    truth = json.loads((files / "truth.json").read_text())
    truth["annotations"][0]["category_id"] = 5
    (files / "truth.json").write_text("\ufeff" + json.dumps(truth), encoding="utf-8")
    _, error = rankdet(
        *("evaluate", "--annotations", files / "truth.json", "--out", files / "metrics.json"),
        *("--detections", files / "boxes.json", "--iou-type", "bbox"),
        *("--detections", files / "masks.json", "--iou-type", "segm"),
    )
    assert error == (
        "rankdet: warning: no valid annotation, so every number is null: "
        "1 of 1 name categories that are not listed (ids 5)\n"
    )


def test_no_detections_do_not_lose_a_run(files):
    (files / "boxes.json").write_text("[]")
    out = files / "metrics.json"
    _, error = rankdet(
        *("evaluate", "--annotations", files / "truth.json", "--out", out, "--check"),
        *("--detections", files / "boxes.json"),
    )
    assert "warning: no detections" in error
    assert json.loads(out.read_text())["bbox"]["oLRP"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--iou-type", "keypoints"], "expected --iou-type bbox or segm; got keypoints"),
        (["--iou-type", "bbox", "--iou-type", "bbox"], "each --iou-type once"),
        (["--iou-type", "bbox", "--detections", "b.json"], "one --detections for all"),
        (["--protocol", "voc"], "protocol coco or lvis; got 'voc'"),
        (["--area", "ellipse"], "area one of auto, box, mask"),
        (["--protocol", "lvis", "--check"], "--check with --protocol coco"),
        (["--dataset", "d.json"], "either --annotations or --dataset"),
        (["--iou-type", "segm"], '"segmentation" in every detection'),
    ],
)
def test_evaluate_refuses_in_one_line_and_writes_nothing(files, change, message):
    out = files / "metrics.json"
    _, error = rankdet(
        *("evaluate", "--annotations", files / "truth.json", "--out", out),
        *("--detections", files / "boxes.json", *change),
        expect=2,
    )
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()
    assert not list(files.glob(".*"))


def test_a_bad_second_file_leaves_nothing_half_written(files):
    (files / "masks.json").write_text('[{"image_id": 1, "category_id": 1, "score": 0.5, "seg')
    out, curves = files / "metrics.json", files / "curves.json"
    rankdet(
        *("evaluate", "--annotations", files / "truth.json", "--out", out, "--curves", curves),
        *("--detections", files / "boxes.json", "--iou-type", "bbox"),
        *("--detections", files / "masks.json", "--iou-type", "segm"),
        expect=2,
    )
    assert not out.exists()
    assert not curves.exists()


def test_a_manifest_without_val(files):
    (files / "manifest.json").write_text("{}")
    _, error = rankdet(
        *("evaluate", "--dataset", files / "manifest.json", "--out", files / "metrics.json"),
        *("--detections", files / "boxes.json"),
        expect=2,
    )
    assert "rankdet prepare" in error


# rankdet submission


def test_submission_packs_what_the_server_takes(files):
    boxes = json.loads((files / "boxes.json").read_text())
    info = files / "image_info.json"
    info.write_text(json.dumps({"images": [{"id": 1}, {"id": 2}]}))
    printed, error = rankdet(
        *("submission", "--detections", files / "boxes.json", "--name", "rs-r50"),
        *("--out-dir", files / "out", "--image-info", info),
    )
    stem = "detections_test-dev2017_rs-r50_results"
    assert printed.strip().endswith(f"{stem}.zip")
    assert "1 of 2 images have no detection" in error
    with zipfile.ZipFile(files / f"out/{stem}.zip") as archive:
        assert archive.namelist() == [f"{stem}.json"]
        packed = json.loads(archive.read(f"{stem}.json"))
    assert packed == json.loads((files / f"out/{stem}.json").read_text()) == boxes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"category_id": 12}, "the 80 category ids of COCO; got 12"),
        ({"category_id": 0}, "the 80 category ids of COCO; got 0"),
        ({"image_id": 5}, "image ids of image_info.json; got 1 unknown ids, the first is 5"),
        ({"score": "1"}, "as a number"),
        ({"bbox": [1, 2, 3]}, "four numbers"),
        ({"segmentation": {"size": [9, 9], "counts": "Y"}}, "truncated counts in detection 2"),
        ({"segmentation": "Y"}, "as RLE"),
    ],
)
def test_submission_refuses(files, change, message):
    boxes = json.loads((files / "boxes.json").read_text())
    (files / "boxes.json").write_text(json.dumps([*boxes, {**boxes[0], **change}]))
    info = files / "image_info.json"
    info.write_text(json.dumps({"images": [{"id": 1}]}))
    _, error = rankdet(
        *("submission", "--detections", files / "boxes.json", "--name", "a"),
        *("--out-dir", files / "out", "--image-info", info),
        expect=2,
    )
    assert message in error
    assert not (files / "out").exists()


def test_submission_refuses_too_many_per_image_and_odd_names(files):
    boxes = json.loads((files / "boxes.json").read_text())
    (files / "many.json").write_text(json.dumps(boxes * 51))
    options = ("--out-dir", files / "out")
    _, error = rankdet(
        *("submission", "--detections", files / "many.json", "--name", "a", *options), expect=2
    )
    assert "at most 100 detections per image; got 102 on image 1" in error
    _, error = rankdet(
        *("submission", "--detections", files / "boxes.json", "--name", "a_b", *options), expect=2
    )
    assert "a name of letters, digits, '-' and '.'" in error
    (files / "boxes.json").write_text("[]")
    _, error = rankdet(
        *("submission", "--detections", files / "boxes.json", "--name", "a", *options), expect=2
    )
    assert "at least one detection" in error
    assert not (files / "out").exists()
