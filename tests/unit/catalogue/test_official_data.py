"""An official data set is known by its counts and classes."""

import hashlib
import json

import pytest

from rankdet.catalogue.official_files import OFFICIAL, difference, is_described, official_set
from tests.unit.report.synthetic import data_record

IDS = {
    "coco": [i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)],
    "lvis": list(range(1, 1204)),
    "cityscapes": [24, 25, 26, 27, 28, 31, 32, 33],
}
DATA_SETS = {"coco": "CocoDataset", "lvis": "LVISV1Dataset", "cityscapes": "CityscapesDataset"}


def digest(categories):
    text = json.dumps(sorted(categories), separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_classes_are_those_of_mmdet(name):
    datasets = pytest.importorskip("mmdet.datasets")
    classes = getattr(datasets, DATA_SETS[name]).METAINFO["classes"]
    pairs = [list(pair) for pair in zip(IDS[name], classes, strict=True)]
    assert OFFICIAL[name].categories == len(pairs)
    assert OFFICIAL[name].categories_sha256 == digest(pairs)
    assert digest([[pairs[0][0], "other"], *pairs[1:]]) != digest(pairs)


def test_the_counts_are_the_published_ones():
    counts = {
        name: [(each.images, each.annotations) for each in (found.train, found.val)]
        for name, found in OFFICIAL.items()
    }
    assert counts == {
        "coco": [(118287, 860001), (5000, 36781)],
        "lvis": [(100170, 1270141), (19809, 244707)],
        "cityscapes": [(2975, None), (500, None)],
    }


@pytest.mark.parametrize("name", OFFICIAL)
def test_a_record_is_of_the_official_set_or_says_what_differs(name):
    record = data_record(name)
    assert official_set(record) == name and difference(record, name) == ""
    # The name shows nothing, in either direction.
    assert official_set(record | {"name": "mine"}) == name
    published = {key: value for key, value in record.items() if not key.startswith("train_")}
    assert official_set(published) == name
    for key in ("val_images", "train_images", "categories", "categories_sha256"):
        for value in (2, None, "x", [1], True):
            assert official_set(record | {key: value}) is None
            assert difference(record | {key: value}, name)
    for key in ("val_annotations", "train_annotations"):
        assert official_set({**record, key: None}) is None
        if OFFICIAL[name].val.annotations:
            assert official_set({**record, key: record[key] - 1}) is None


def test_an_older_record_says_nothing():
    older = {"name": "coco", "train_sha256": "a", "val_sha256": "b"}
    assert official_set(older) is None and not is_described(older)
    half = {key: value for key, value in data_record("coco").items() if "train_" not in key}
    assert is_described(half) and not is_described(half, ("train", "val"))
