"""LVIS v1 JSON without the lvis package, and how often its images are repeated."""

import json
import math

import pytest
from mmdet.registry import DATASETS
from mmengine.config import ConfigDict
from mmengine.dataset import ClassBalancedDataset

import rankdet.models  # noqa: F401
from rankdet.datasets.digits import prepare_digits

THRESHOLD = 0.1


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepare_digits(tmp_path_factory.mktemp("data") / "lvis", 0, 60, 2, long_tail=True)


def build(digits, annotations=None, folder=None):
    settings = dict(
        type="LvisDataset",
        ann_file=str(annotations or digits.annotations("train")),
        data_prefix=dict(img=f"{folder or digits.images('train')}/"),
        metainfo=dict(classes=tuple(digits.classes)),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=[],
    )
    return DATASETS.build(ConfigDict(settings))


def test_images_and_objects_are_those_of_the_file(digits):
    content = json.loads(digits.annotations("train").read_text())
    dataset = build(digits)
    with_objects = {row["image_id"] for row in content["annotations"]}
    assert len(dataset) == len(with_objects)
    read = [dataset.get_data_info(index) for index in range(len(dataset))]
    assert sum(len(item["instances"]) for item in read) == len(content["annotations"])
    assert all("mask" in row for item in read for row in item["instances"])
    labels = {row["bbox_label"] for item in read for row in item["instances"]}
    assert labels == {row["category_id"] - 1 for row in content["annotations"]}


def test_an_image_is_repeated_by_its_rarest_class(digits):
    dataset = ClassBalancedDataset(build(digits), oversample_thr=THRESHOLD)
    classes = [set(dataset.dataset.get_cat_ids(i)) for i in range(len(dataset.dataset))]
    share = {
        label: sum(label in found for found in classes) / len(classes)
        for label in set().union(*classes)
    }
    repeats = [
        math.ceil(max(max(1, math.sqrt(THRESHOLD / share[label])) for label in found))
        for found in classes
    ]
    assert max(repeats) > 1 == min(repeats)
    wanted = [index for index, count in enumerate(repeats) for _ in range(count)]
    assert dataset.repeat_indices == wanted and len(dataset) == sum(repeats)


def test_images_named_by_their_address_only(digits, tmp_path):
    """As in the published files: the folder is the second-last part of the address."""
    content = json.loads(digits.annotations("train").read_text())
    for row in content["images"]:
        del row["file_name"]
    (tmp_path / "lvis_v1_train.json").write_text(json.dumps(content))
    dataset = build(digits, tmp_path / "lvis_v1_train.json", digits.folder)
    path = dataset.get_data_info(0)["img_path"]
    assert path.startswith(f"{digits.folder}/train/") and path.endswith(".jpg")
    with open(path, "rb") as stream:
        assert stream.read(2) == b"\xff\xd8"


def test_the_published_classes_are_the_default():
    classes = DATASETS.get("LvisDataset").METAINFO["classes"]
    assert len(classes) == len(set(classes)) == 1203
