"""Annotations of a user's own: completed where there is one right meaning, else refused in one line
that names file, entry and remedy; what was accepted trains and is measured."""

import copy
import json

import pytest

from rankdet.datasets.coco import prepare_coco
from rankdet.datasets.manifest import load_manifest
from rankdet.errors import InputError
from rankdet.evaluation import evaluate
from tests.unit.datasets.own import both, document, mmdet_data, write_set


def each(key, **values):
    """Return a change of every row of a list; a value may be a function of the row's place."""

    def change(content):
        for place, row in enumerate(content[key]):
            for name, value in values.items():
                row[name] = value(place) if callable(value) else value

    return change


def without(key, name):
    def change(content):
        for row in content[key]:
            row.pop(name, None)

    return change


def first(key, **values):
    return lambda content: content[key][0].update(values)


def perfect(manifest):
    """Return the metrics of detections that are the val annotations themselves."""
    content = json.loads(manifest.annotations("val").read_text())
    found = [
        {key: row[key] for key in ("image_id", "category_id", "bbox")} | {"score": 0.9}
        for row in content["annotations"]
    ]
    return evaluate(manifest.annotations("val"), found).numbers


def objects(manifest, split="train"):
    """Return what mmdet's data set would train on."""
    data = mmdet_data(manifest, split)
    return [
        (each["bbox"], each["bbox_label"])
        for index in range(len(data))
        for each in data.get_data_info(index)["instances"]
        if not each["ignore_flag"]
    ]


COMPLETED = {
    "ids from 0": (each("annotations", id=lambda place: place), "numbered from 1"),
    "no ids": (without("annotations", "id"), "annotations have no ids"),
    "negative ids": (each("annotations", id=lambda place: place - 3), "numbered from 1"),
    "no area": (without("annotations", "area"), "8 annotations have no area: computed"),
    "null area": (each("annotations", area=None), "8 annotations have no area: computed"),
    "one without area": (first("annotations", area=None), "1 annotations have no area"),
    "no width": (without("images", "width"), "4 images have no width or height"),
    "null size": (each("images", width=None, height=None), "4 images have no width or height"),
    "categories reversed": (lambda content: content["categories"].reverse(), ""),
    "image ids from 0": (
        lambda content: (
            [
                row.update({name: row[name] - 1})
                for key, name in (("images", "id"), ("annotations", "image_id"))
                for row in content[key]
            ]
            and None
        ),
        "",
    ),
    "null crowd": (each("annotations", iscrowd=None), ""),
    "no crowd": (without("annotations", "iscrowd"), ""),
    "true and false": (each("annotations", iscrowd=False), ""),
    "whole floats": (each("annotations", id=lambda place: float(place + 1), image_id=1.0), ""),
    "empty masks": (each("annotations", segmentation=[]), ""),
    "further keys": (each("annotations", attributes={"occluded": False}, score=float("nan")), ""),
}


@pytest.mark.parametrize("case", COMPLETED)
def test_completed_and_used_by_every_step(case, tmp_path, capfd):
    change, note = COMPLETED[case]
    root = write_set(tmp_path / "data", **both(change))
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    prepare_coco(root, tmp_path / "ds" / "dataset.json")
    assert note in capfd.readouterr().err
    manifest = load_manifest(tmp_path / "ds")
    assert manifest.classes == ["a", "b"] and manifest.category_ids == [1, 2]
    found = objects(manifest)
    assert len(found) == 8
    assert [label for _, label in found] == [0, 1] * 4  # boxes on the left are "a"
    numbers = perfect(manifest)
    assert numbers["AP"] == 1.0 and numbers["oLRP"] == 0.0
    assert before == {path: path.read_bytes() for path in before}


def test_an_unchanged_file_is_not_copied(tmp_path):
    root = write_set(tmp_path / "data")
    manifest = prepare_coco(root, tmp_path / "ds" / "dataset.json")
    assert [path.name for path in (tmp_path / "ds").iterdir()] == ["dataset.json"]
    assert manifest.annotations("train") == root / "annotations/instances_train.json"
    assert manifest.train.source == ""


def test_a_copy_never_replaces_a_file_of_the_user(tmp_path):
    root = write_set(tmp_path / "data", **both(without("annotations", "area")))
    out = tmp_path / "ds" / "dataset.json"
    out.parent.mkdir()
    own = out.with_name("dataset-train.json")
    own.write_text("[1]")
    with pytest.raises(InputError, match="no other file at"):
        prepare_coco(root, out)
    assert own.read_text() == "[1]" and not out.exists()
    own.unlink()
    assert prepare_coco(root, out) == prepare_coco(root, out)  # a copy of ours is replaced


def test_the_area_is_that_of_the_mask_where_there_is_one(tmp_path):
    triangle = [[4, 6, 40, 6, 4, 46]]

    def change(content):
        for row in content["annotations"]:
            del row["area"]
        content["annotations"][0]["segmentation"] = triangle
        content["annotations"][1]["segmentation"] = [[1, 1, 2, 2]]

    root = write_set(tmp_path / "data", train=change)
    manifest = prepare_coco(root, tmp_path / "d.json")
    rows = json.loads(manifest.annotations("train").read_text())["annotations"]
    assert 0.4 * 36 * 40 < rows[0]["area"] < 0.6 * 36 * 40
    assert rows[1]["area"] == 36 * 44  # a mask of two points is none


REFUSED = {
    "ids twice": (each("annotations", id=1), "unique annotation ids"),
    "ids as text": (each("annotations", id=str), '"id" of every annotation .*entry 0'),
    "ids 1.5": (first("annotations", id=1.5), "as an integer"),
    "area as text": (first("annotations", area="12"), '"area" of every annotation .*entry 0'),
    "negative area": (first("annotations", area=-1), "at least 0; got -1 in annotation 1"),
    "area NaN": (first("annotations", area=float("nan")), 'finite "area"'),
    "crowd as text": (first("annotations", iscrowd="0"), "\"iscrowd\" .*0 or 1; got '0'"),
    "crowd 2": (first("annotations", iscrowd=2), '"iscrowd" .*0 or 1; got 2 in entry 0'),
    "box of three": (first("annotations", bbox=[1, 2, 3]), "four numbers"),
    "box as text": (first("annotations", bbox=["1", 2, 3, 4]), "four numbers"),
    "box null": (first("annotations", bbox=None), "four numbers"),
    "no box": (without("annotations", "bbox"), '"bbox" in every annotation'),
    "box NaN": (first("annotations", bbox=[1, 1, float("nan"), 3]), "finite"),
    "box 1e300": (first("annotations", bbox=[1, 1, 1e300, 3]), "at most 10000000"),
    "negative width": (first("annotations", bbox=[9, 9, -3, 3]), "w, h >= 0"),
    "image ids as text": (each("images", id=str), '"id" of every image'),
    "image id null": (first("images", id=None), '"id" of every image'),
    "image ids twice": (each("images", id=1), "unique image ids"),
    "category id 1.5": (first("categories", id=1.5), '"id" of every category'),
    "category id true": (first("categories", id=True), '"id" of every category'),
    "no class name": (first("categories", name=None), r"got None in categories\[0\]"),
    "class name a number": (first("categories", name=7), r"got 7 in categories\[0\]"),
    "one name twice": (each("categories", name="a"), "several named 'a'"),
    "image not listed": (first("annotations", image_id=77), "image_id 77 in annotation 1"),
    "category not listed": (first("annotations", category_id=7), "category_id 7 in annotation 1"),
    "width as text": (first("images", width="96"), r"got '96' in images\[0\]"),
    "width 96.5": (first("images", width=96.5), r"got 96.5 in images\[0\]"),
    "width NaN": (first("images", width=float("nan")), r"got nan in images\[0\]"),
    "width infinite": (first("images", width=float("inf")), r"got inf in images\[0\]"),
    "width 0": (first("images", width=0), r"got 0 in images\[0\]"),
    "name null": (first("images", file_name=None), r"images\[0\] with a file_name"),
    "name empty": (first("images", file_name=" "), r"images\[0\] with a file_name"),
    "name a list": (first("images", file_name=["a"]), r"images\[0\] with a file_name"),
    "an image that is text": (lambda c: c["images"].append("x"), "images as JSON objects"),
    "an annotation that is null": (lambda c: c["annotations"].append(None), "JSON objects"),
    "no annotations": (lambda c: c["annotations"].clear(), "got an empty list"),
    "no categories": (lambda c: c["categories"].clear(), "at least one entry in 'categories'"),
    "annotations null": (lambda c: c.update(annotations=None), "a list 'annotations'"),
    "a list": (lambda content: [content], "got a list"),
    "all areas 0": (each("annotations", area=0), "0 of 8 .*8 with area 0; leave the field"),
    "all crowds": (each("annotations", iscrowd=1), "0 of 8 .*8 crowds; set iscrowd"),
    "all ignored": (each("annotations", ignore=1), "0 of 8 .*8 marked as ignored"),
    "boxes 0 to 1": (each("annotations", bbox=[0.1, 0.1, 0.3, 0.4]), "multiply them by width"),
    "mask as text": (first("annotations", segmentation="x"), "a mask .*in annotation 1"),
    "mask NaN": (first("annotations", segmentation=[[1, 1, float("nan"), 1, 5, 5]]), "nan"),
    "mask 1e9": (
        first("annotations", segmentation=[[1, 1, 1e9, 1, 5, 5]]),
        r"got 1e\+09 as number 2",
    ),
    "mask of five numbers": (first("annotations", segmentation=[[1, 1, 9, 1, 5]]), "annotation 1"),
    "mask of words": (first("annotations", segmentation=[["a"] * 6]), "annotation 1"),
    "RLE of another size": (
        first("annotations", segmentation={"size": [9, 9], "counts": [81]}),
        "annotation 1",
    ),
    "RLE torn": (
        first("annotations", segmentation={"size": [80, 96], "counts": "o"}),
        "annotation 1",
    ),
    "boxes outside": (each("annotations", bbox=[500, 500, 9, 9]), "8 outside of their image"),
}


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_any_training(case, split, tmp_path):
    change, message = REFUSED[case]
    only_train = ("areas 0", "ignored", "boxes")
    if split == "val" and (case.startswith(only_train) or case.endswith(only_train)):
        change, message = REFUSED["all crowds"][0], "8 crowds, which are only left out"
    if split == "val" and case == "all crowds":
        message = "8 crowds, which are only left out"
    root = write_set(tmp_path / "data", **{split: change})
    with pytest.raises(InputError, match=message) as caught:
        prepare_coco(root, tmp_path / "ds" / "dataset.json")
    text = str(caught.value)
    assert "\n" not in text and "download" not in text
    assert not (tmp_path / "ds").exists() or not list((tmp_path / "ds").iterdir())


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]])
@pytest.mark.parametrize("ids", [(1, 2, 3), (10, 7, 90), (0, 5, 2)])
def test_one_order_of_labels_whatever_the_order_of_categories(order, ids, tmp_path):
    """Training's label of a class is the class that prediction writes for that label."""

    def change(content, order):
        names = dict(zip(ids, "abc", strict=True))
        rows = [{"id": ids[place], "name": names[ids[place]]} for place in order]
        content["categories"] = rows
        for place, row in enumerate(content["annotations"]):
            row["category_id"] = ids[place % 3]

    root = write_set(
        tmp_path / "data",
        train=lambda content: change(content, [1, 0, 2]),
        val=lambda content: change(content, order),
    )
    manifest = prepare_coco(root, tmp_path / "d.json")
    assert manifest.category_ids == sorted(ids)
    raw = json.loads((root / "annotations/instances_train.json").read_text())
    wanted = [manifest.category_ids.index(row["category_id"]) for row in raw["annotations"]]
    assert [label for _, label in objects(manifest)] == wanted
    assert [label for _, label in objects(manifest, "val")] == wanted
    names = dict(zip(ids, "abc", strict=True))
    assert manifest.classes == [names[key] for key in manifest.category_ids]


DIFFERENT = {
    "fewer in val": (lambda rows: rows.pop(), "in train only: 2 'b'$"),
    "another name": (
        lambda rows: rows[0].update(name="A"),
        "1 'a'; in val only: 1 'A'",
    ),
    "exchanged": (
        lambda rows: (rows[0].update(name="b"), rows[1].update(name="a")),
        "in train only: 1 'a', 2 'b'; in val only: 1 'b', 2 'a'",
    ),
    "another id": (lambda rows: rows[0].update(id=9), "in train only: 1 'a'; in val only: 9 'a'"),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_categories_that_differ_are_named(case, tmp_path):
    change, message = DIFFERENT[case]

    def val(content):
        content["annotations"] = [r for r in content["annotations"] if r["category_id"] == 1]
        change(content["categories"])
        for row in content["annotations"]:
            row["category_id"] = content["categories"][0]["id"]

    root = write_set(tmp_path / "data", val=val)
    with pytest.raises(InputError) as caught:
        prepare_coco(root, tmp_path / "d.json")
    assert message.rstrip("$") in caught.value.got


def test_some_annotations_that_cannot_be_trained_on_are_counted(tmp_path, capfd):
    def change(content):
        content["annotations"][0]["iscrowd"] = 1
        content["annotations"][1]["area"] = 0
        content["annotations"][2]["bbox"] = [500, 0, 9, 9]

    manifest = prepare_coco(write_set(tmp_path / "data", train=change), tmp_path / "d.json")
    assert "train: 5 of 8 annotations can be trained on; left out: 1" in capfd.readouterr().err
    assert len(objects(manifest)) == 5  # as mmdet filters


def test_lvis_fields(tmp_path):
    def lvis(content):
        for row in content["images"]:
            row.update(neg_category_ids=[1], not_exhaustive_category_ids=[])
        for row in content["categories"]:
            row["frequency"] = "f"

    root = write_set(tmp_path / "data", **both(lvis))
    for split in ("train", "val"):
        path = root / "annotations" / f"instances_{split}.json"
        path.rename(root / "annotations" / f"lvis_v1_{split}.json")
        for image in (root / split).iterdir():
            image.rename(root / image.name) if split == "train" else image.unlink()
    assert prepare_coco(root, tmp_path / "d.json", format="lvis").format == "lvis"
    path = root / "annotations" / "lvis_v1_val.json"
    good = json.loads(path.read_text())
    for key, name, value in (
        ("categories", "frequency", "frequent"),
        ("categories", "frequency", None),
        ("images", "neg_category_ids", "1"),
        ("images", "neg_category_ids", [1.5]),
        ("images", "not_exhaustive_category_ids", None),
    ):
        content = copy.deepcopy(good)
        content[key][1][name] = value
        path.write_text(json.dumps(content))
        with pytest.raises(InputError, match=f'"{name}" of every .*entry 1'):
            prepare_coco(root, tmp_path / "e.json", format="lvis")


def test_a_document_is_not_changed():
    from rankdet.evaluation.annotations import check_document

    content = document()
    for row in content["annotations"]:
        del row["area"], row["id"]
    before = copy.deepcopy(content)
    assert len(check_document(content).notes) == 2
    assert content == before
