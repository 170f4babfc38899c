"""MeanAveragePrecision: pycocotools' numbers by torchmetrics' names, in one process and in two."""

import doctest
import json
import subprocess
import sys

import numpy as np
import pytest

from rankdet.errors import InputError
from rankdet.evaluation import MeanAveragePrecision, evaluate, mean_average_precision
from tests.unit.evaluation.cases import SIDE, tiny
from tests.unit.evaluation.reference import judge, twelve

NAMES = {
    "AP": "map",
    "AP50": "map_50",
    "AP75": "map_75",
    "APs": "map_small",
    "APm": "map_medium",
    "APl": "map_large",
    "AR1": "mar_1",
    "AR10": "mar_10",
    "AR100": "mar_100",
    "ARs": "mar_small",
    "ARm": "mar_medium",
    "ARl": "mar_large",
}
OLRP = {
    "oLRP": "olrp",
    "oLRP_loc": "olrp_loc",
    "oLRP_fp": "olrp_fp",
    "oLRP_fn": "olrp_fn",
    "oLRPs": "olrp_small",
    "oLRPm": "olrp_medium",
    "oLRPl": "olrp_large",
}


def drawn(seed, count=8, dtype=np.float32):
    """Draw images: boxes x1, y1, x2, y2 with masks, some crowds, some areas given; one is empty."""
    rng = np.random.default_rng(seed)
    preds, target = [], []
    for number in range(count):
        objects = int(rng.integers(0, 6)) if number else 0
        corner = rng.integers(0, 60, (objects, 2))
        boxes = np.hstack([corner, corner + rng.integers(4, 58, (objects, 2))]).astype(dtype)
        labels = rng.integers(0, 3, objects)
        chosen = rng.integers(0, max(objects, 1), int(rng.integers(0, 9)) if objects else 0)
        found = (boxes[chosen] + rng.normal(0, 3, (len(chosen), 4))).astype(dtype)
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        target.append(
            dict(
                boxes=boxes,
                labels=labels,
                masks=masks_of(boxes),
                iscrowd=(rng.random(objects) < 0.1).astype(np.int64),
                area=np.where(rng.random(objects) < 0.3, 50.0, 0).astype(dtype),
            )
        )
        preds.append(
            dict(
                boxes=found,
                scores=rng.choice([0.1, 0.5, 0.7, rng.random()], len(chosen)).astype(dtype),
                labels=np.where(rng.random(len(chosen)) < 0.8, labels[chosen], 4),
                masks=masks_of(found),
            )
        )
    return preds, target


def masks_of(boxes):
    masks = np.zeros((len(boxes), SIDE, SIDE), dtype=bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes.round().astype(int), strict=True):
        mask[max(top, 0) : bottom, max(left, 0) : right] = True
        mask[max(top, 0), max(left, 0)] = False  # a mask is not its box
    return masks


def documents(preds, target, iou_type):
    """Return the same data in the layout of COCO."""
    from pycocotools import mask as mask_tools

    def rle(mask):
        encoded = mask_tools.encode(np.asfortranarray(mask.astype(np.uint8)))
        return {"size": list(encoded["size"]), "counts": encoded["counts"].decode()}

    def rows(item, image):
        corners = np.asarray(item["boxes"])
        boxes = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]]).astype(float)
        for place, label in enumerate(item["labels"].tolist()):
            row = {"image_id": image, "category_id": label}
            if iou_type == "bbox":
                row["bbox"] = boxes[place].tolist()
                row["area"] = row["bbox"][2] * row["bbox"][3]
            else:
                row["segmentation"] = rle(item["masks"][place])
                row["area"] = float(item["masks"][place].sum())
            yield place, row

    truth = {"images": [], "annotations": [], "categories": []}
    found = []
    for image, (own, other) in enumerate(zip(preds, target, strict=True), start=1):
        truth["images"].append({"id": image, "height": SIDE, "width": SIDE})
        for place, row in rows(other, image):
            if other["area"][place] > 0:
                row["area"] = float(other["area"][place])
            row |= {"id": len(truth["annotations"]) + 1, "iscrowd": int(other["iscrowd"][place])}
            truth["annotations"].append(row)
        for place, row in rows(own, image):
            del row["area"]
            found.append({**row, "score": float(own["scores"][place])})
    labels = {row["category_id"] for row in [*truth["annotations"], *found]}
    truth["categories"] = [{"id": label, "name": str(label)} for label in sorted(labels)]
    return truth, found


def computed(preds, target, batch=3, **arguments):
    metric = MeanAveragePrecision(**arguments)
    for start in range(0, len(preds), batch):
        metric.update(preds[start : start + batch], target[start : start + batch])
    return metric.compute()


def minus_one(value):
    return -1.0 if value is None else value


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
@pytest.mark.filterwarnings("ignore:no detections")
def test_numbers_are_those_of_pycocotools(seed, iou_type):
    preds, target = drawn(seed)
    own = computed(preds, target, iou_type=iou_type, class_metrics=True)
    truth, rows = documents(preds, target, iou_type)
    metrics = evaluate(truth, rows, iou_type)
    if rows:
        expected = twelve(judge(truth, rows, iou_type))
        assert {name: own[key] for name, key in NAMES.items()} == {
            name: minus_one(value) for name, value in expected.items()
        }
    for name, key in OLRP.items():
        assert own[key] == minus_one(metrics.numbers[name])
    assert own["classes"].tolist() == [row["category_id"] for row in metrics.per_class]
    for key, name in (("map", "AP"), ("mar_100", "AR100"), ("olrp", "oLRP")):
        expected = [minus_one(row[name]) for row in metrics.per_class]
        assert own[f"{key}_per_class"].tolist() == expected


def test_both_types_other_limits_and_one_class():
    preds, target = drawn(3)
    for item in target:  # without an area, that of the mask counts for both
        item["area"] = np.maximum(item["area"], item["masks"].sum((1, 2)))
    both = computed(preds, target, iou_type=("bbox", "segm"))
    for iou_type in ("bbox", "segm"):
        single = computed(preds, target, iou_type=iou_type)
        assert all(both[f"{iou_type}_{key}"] == single[key] for key in single if key != "classes")
    for item in target:
        item["area"] = np.zeros(len(item["labels"]))
    whole = computed(preds, target, iou_type=("bbox", "segm"))
    assert whole["segm_map"] == both["segm_map"]
    preds, target = drawn(3)
    limited = computed(preds, target, max_detection_thresholds=[2, 1, 3])
    truth, rows = documents(preds, target, "bbox")
    expected = evaluate(truth, rows, limits=(1, 2, 3)).numbers
    assert [limited[f"mar_{limit}"] for limit in (1, 2, 3)] == [
        expected[f"AR{limit}"] for limit in (1, 2, 3)
    ]
    assert limited["map"] == expected["AP"] and limited["olrp"] == expected["oLRP"]
    micro = computed(preds, target, average="micro", class_metrics=True)
    alike = [
        [{**item, "labels": np.zeros_like(item["labels"])} for item in side]
        for side in (preds, target)
    ]
    single = computed(*alike)
    assert all(micro[key] == single[key] for key in NAMES.values())
    assert len(micro["map_per_class"]) == len(micro["classes"]) > 1


@pytest.mark.parametrize("seed", range(5))
def test_box_formats(seed):
    preds, target = drawn(seed, dtype=np.float64)

    def converted(items, box_format):
        for item in items:
            low, high = item["boxes"][:, :2], item["boxes"][:, 2:]
            start = low if box_format == "xywh" else (low + high) / 2
            yield {**item, "boxes": np.hstack([start, high - low])}

    expected = computed(preds, target)
    for box_format in ("xywh", "cxcywh"):
        own = computed(
            list(converted(preds, box_format)),
            list(converted(target, box_format)),
            box_format=box_format,
        )
        assert {key: own[key] for key in NAMES.values()} == pytest.approx(
            {key: expected[key] for key in NAMES.values()}, abs=1e-9
        )


def test_reset_and_nothing():
    preds, target = drawn(1)
    metric = MeanAveragePrecision()
    with pytest.warns(UserWarning, match=r"compute\(\) before any update"):
        assert metric.compute()["map"] == -1
    metric.update(preds, target)
    first = metric.compute()
    metric.reset()
    metric.update(preds, target)
    assert metric.compute() == {key: pytest.approx(value) for key, value in first.items()}
    empty = dict(boxes=np.zeros((0, 4)), labels=np.zeros(0, dtype=int))
    metric.reset()
    metric.update([{**empty, "scores": np.zeros(0)}], [target[2] if len(target[2]) else empty])
    assert metric.compute()["map"] in (0, -1)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (dict(boxes=None), r"\"boxes\" in preds\[1\] as numbers"),
        (dict(boxes=np.zeros((2, 3))), r"boxes \[n, 4\] in preds\[1\]; got \(2, 3\)"),
        (dict(boxes=np.array([[5.0, 5, 1, 9]])), r"width and height >= 0 in preds\[1\]"),
        (dict(boxes=np.array([[np.nan, 5, 9, 9]])), r"finite \"boxes\" in preds\[1\]"),
        (dict(scores=np.array([np.inf])), r"finite \"scores\""),
        (dict(scores=np.zeros(2)), 'as many "scores" as "labels" in preds.*2 and 1'),
        (dict(labels=np.array([0.5])), r"integer labels in preds\[1\]; got float64"),
        (dict(labels=np.array(["cat"])), "as numbers"),
    ],
)
def test_malformed_batches_are_not_added(change, match):
    good = dict(boxes=np.array([[1.0, 1, 9, 9]]), scores=np.ones(1), labels=np.zeros(1, dtype=int))
    target = dict(boxes=good["boxes"], labels=good["labels"])
    metric = MeanAveragePrecision()
    with pytest.raises(InputError, match=match):
        metric.update([good, {**good, **change}], [target, target])
    with pytest.raises(InputError, match=r"\"scores\" in preds\[0\]"):
        metric.update([target], [target])
    with pytest.raises(InputError, match="as many preds as target; got 1 and 2"):
        metric.update([good], [target, target])
    metric.update([good], [target])
    assert metric.compute()["map"] == pytest.approx(1)


@pytest.mark.parametrize(
    "arguments",
    [
        dict(box_format="yxyx"),
        dict(iou_type="keypoints"),
        dict(iou_type=()),
        dict(average="none"),
        dict(max_detection_thresholds=[100]),
    ],
)
def test_unknown_arguments(arguments):
    with pytest.raises(InputError):
        MeanAveragePrecision(**arguments)


def test_masks():
    with pytest.raises(InputError, match=r"masks \[n, H, W\] in target\[0\]"):
        item = dict(masks=np.zeros((9, 9)), labels=np.zeros(1, int), scores=np.zeros(1))
        MeanAveragePrecision(iou_type="segm").update(
            [{**item, "masks": np.ones((1, 9, 9), bool)}], [item]
        )


def test_the_example():
    found = doctest.testmod(mean_average_precision)
    assert found.attempted > 4 and not found.failed


def test_it_imports_no_torch():
    code = (
        "import sys, numpy as np\n"
        "from rankdet.evaluation import MeanAveragePrecision\n"
        "item = dict(boxes=np.array([[1., 1, 5, 5]]), labels=np.array([0]))\n"
        "metric = MeanAveragePrecision()\n"
        "metric.update([{**item, 'scores': np.array([.5])}], [item])\n"
        "print(round(float(metric.compute()['map']), 6), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1.0", "False"]


def tensors(items):
    torch = pytest.importorskip("torch")
    return [{key: torch.from_numpy(value) for key, value in item.items()} for item in items]


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_tensors_give_tensors(iou_type):
    torch = pytest.importorskip("torch")
    preds, target = drawn(5)
    own = computed(tensors(preds), tensors(target), iou_type=iou_type, class_metrics=True)
    expected = computed(preds, target, iou_type=iou_type, class_metrics=True)
    assert own.keys() == expected.keys()
    for key, value in own.items():
        assert isinstance(value, torch.Tensor)
        assert value.dtype == (torch.int32 if key == "classes" else torch.float32)
        np.testing.assert_array_equal(
            value.numpy(), np.asarray(expected[key]).astype(value.numpy().dtype)
        )
    half = [{**item, "boxes": item["boxes"].bfloat16()} for item in tensors(preds)]
    assert computed(half, tensors(target))["map"] >= 0


@pytest.mark.parametrize("iou_type", ["bbox", "segm", ("bbox", "segm")])
@pytest.mark.parametrize("average", ["macro", "micro"])
def test_numbers_are_those_of_torchmetrics(iou_type, average):
    pytest.importorskip("torchvision", reason="torchmetrics needs torchvision for boxes")
    detection = pytest.importorskip(
        "torchmetrics.detection", reason="torchmetrics is not part of the environment"
    )
    # torchmetrics 1.9 takes the second type's numbers from the data of the classes in this case.
    has_classes = average == "macro" or isinstance(iou_type, str)
    arguments = dict(iou_type=iou_type, average=average, class_metrics=has_classes)
    for seed in range(12):
        preds, target = drawn(seed)
        reference = detection.MeanAveragePrecision(
            **arguments,
            # Its own thresholds and levels are float32 and differ from pycocotools'.
            iou_thresholds=np.linspace(0.5, 0.95, 10).tolist(),
            rec_thresholds=np.linspace(0, 1, 101).tolist(),
        )
        reference.update(tensors(preds), tensors(target))
        expected = reference.compute()
        own = computed(tensors(preds), tensors(target), **arguments)
        assert expected.keys() <= own.keys()
        for key, value in expected.items():
            np.testing.assert_allclose(own[key].numpy(), value.numpy(), rtol=0, atol=1e-6)


WORKER = """
import json, sys
import numpy as np
import torch
import torch.distributed as dist
from rankdet.evaluation import MeanAveragePrecision
from tests.unit.evaluation.test_mean_average_precision import drawn, tensors

rank, store, kind = int(sys.argv[1]), sys.argv[2], sys.argv[3]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
preds, target = drawn(7, count=9)
convert = tensors if kind == "tensors" else list
metric = MeanAveragePrecision(iou_type=("bbox", "segm"), class_metrics=True)
if kind != "one" or rank == 0:
    own = slice(None) if kind == "one" else slice(rank, None, 2)  # five images and four
    metric.update(convert(preds[own]), convert(target[own]))
found = metric.compute()
if kind == "tensors":
    assert all(isinstance(value, torch.Tensor) for value in found.values())
print(json.dumps({key: np.asarray(value).tolist() for key, value in found.items()}))
dist.destroy_process_group()
"""


@pytest.mark.parametrize("kind", ["tensors", "arrays", "one"])
def test_two_processes(tmp_path, kind):
    """Images of both, images of one process only: the numbers of one process with all images."""
    pytest.importorskip("torch")
    command = [sys.executable, "-c", WORKER]
    workers = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path / "store"), kind],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = [worker.communicate(timeout=120) for worker in workers]
    assert all(worker.returncode == 0 for worker in workers), outputs
    first, second = (json.loads(output.splitlines()[-1]) for output, _ in outputs)
    assert first == second
    preds, target = drawn(7, count=9)
    if kind != "one":  # equal scores count in the order of the processes
        preds, target = (items[::2] + items[1::2] for items in (preds, target))
    expected = computed(preds, target, iou_type=("bbox", "segm"), class_metrics=True)
    for key, value in expected.items():
        np.testing.assert_allclose(first[key], value, rtol=0, atol=1e-7)


def test_images_of_different_sizes_in_prediction_and_target():
    item = dict(labels=np.zeros(1, int), masks=np.ones((1, 9, 9), bool))
    metric = MeanAveragePrecision(iou_type="segm")
    wide = np.ones((1, 9, 12), bool)
    metric.update([{**item, "masks": wide, "scores": np.ones(1)}], [item])
    with pytest.raises(InputError, match=r"size \[9, 9\] for an image of \[9, 12\]|size \[9, 12\]"):
        metric.compute()


def test_the_data_of_this_file_has_everything():
    truth, _ = tiny()
    assert truth["images"][0]["height"] == SIDE
    preds, target = drawn(0, count=40)
    assert sum(item["iscrowd"].sum() for item in target) > 0
    assert any((item["area"] > 0).any() for item in target)
    assert any(len(item["labels"]) == 0 for item in preds)
