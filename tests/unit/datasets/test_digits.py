"""The built-in set: deterministic, valid COCO and LVIS, disjoint splits, objects of all sizes."""

import json
from collections import Counter

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from rankdet.datasets import own_files
from rankdet.datasets.digits import prepare_digits
from rankdet.datasets.manifest import load_manifest
from rankdet.datasets.prepared import check_instances
from rankdet.datasets.scenes import SIDE, material, polygons, run_lengths
from rankdet.errors import InputError


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepare_digits(tmp_path_factory.mktemp("data") / "digits", 0, 120, 30)


@pytest.fixture(scope="module")
def tailed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "tailed"
    return prepare_digits(folder, 0, 300, 30, long_tail=True)


def test_is_a_valid_coco_file_with_what_detectors_meet(digits):
    content = json.loads(digits.annotations("train").read_text())
    checked = check_instances(content, digits.annotations("train"))
    assert len(checked.document["categories"]) == 10 and not checked.notes
    areas = np.array([item["area"] for item in content["annotations"]])
    assert (areas < 32**2).any() and (areas > 96**2).any()
    assert ((areas > 32**2) & (areas < 96**2)).mean() > 0.3
    crowds = [item for item in content["annotations"] if item["iscrowd"]]
    assert crowds and all(isinstance(item["segmentation"], dict) for item in crowds)
    with_objects = {item["image_id"] for item in content["annotations"]}
    assert len(with_objects) < len(content["images"])  # some images are empty
    assert min(item["id"] for item in content["annotations"]) == 1


def test_boxes_and_areas_belong_to_the_masks(digits):
    coco = COCO(str(digits.annotations("val")))
    for item in coco.anns.values():
        mask = coco.annToMask(item)
        assert mask.shape == (SIDE, SIDE)
        assert mask.sum() == item["area"]
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        tight = [columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1]
        np.testing.assert_allclose(item["bbox"], tight)


def test_same_seed_same_bytes_other_seed_other_images(digits, tmp_path):
    again = prepare_digits(tmp_path / "again", 0, 120, 30)
    other = prepare_digits(tmp_path / "other", 1, 4, 2)
    assert again.train.sha256 == digits.train.sha256 and again.val == digits.val
    name = "000003.jpg"
    first = (digits.images("train") / name).read_bytes()
    assert first == (again.images("train") / name).read_bytes()
    assert first != (other.images("train") / name).read_bytes()


def test_train_and_val_share_no_handwriting():
    train = {digit.tobytes() for digit in material("train").digits}
    assert not train & {digit.tobytes() for digit in material("val").digits}


def test_long_tail_has_lvis_groups_and_federated_fields(tailed):
    content = json.loads(tailed.annotations("train").read_text())
    counts = {item["frequency"]: [] for item in content["categories"]}
    for category in content["categories"]:
        counts[category["frequency"]].append(category["image_count"])
    assert set(counts) == {"r", "c", "f"}
    assert max(counts["r"]) < min(counts["f"]) and max(counts["c"]) < min(counts["f"])
    assert "iscrowd" not in content["annotations"][0]
    present = {}
    for item in content["annotations"]:
        present.setdefault(item["image_id"], set()).add(item["category_id"])
    for image in content["images"]:
        assert image["neg_category_ids"]
        assert not set(image["neg_category_ids"]) & present.get(image["id"], set())


def test_outlines_follow_the_mask_within_two_percent():
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.circle(mask, (120, 90), 40, 1, -1)
    mask = mask.astype(bool)
    from pycocotools import mask as coco_mask

    traced = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons(mask), SIDE, SIDE)))
    assert np.logical_xor(traced, mask).sum() < 0.02 * mask.sum()


def test_run_lengths_are_lossless():
    from pycocotools import mask as coco_mask

    rng = np.random.default_rng(0)
    for first in (0, 1):
        mask = rng.random((7, 9)) > 0.5
        mask[0, 0] = first
        stored = coco_mask.frPyObjects(run_lengths(mask), 7, 9)
        assert (coco_mask.decode(stored).astype(bool) == mask).all()


def test_refuses_a_folder_with_something_else(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="empty folder"):
        prepare_digits(tmp_path, 0, 1, 1)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, "imwrite", lambda *arguments: False)
    with pytest.raises(InputError, match="can be written"):
        prepare_digits(tmp_path / "digits", 0, 2, 1)
    assert list(tmp_path.iterdir()) == []


def test_manifest_names_what_is_missing(digits, tmp_path):
    assert load_manifest(digits.folder).classes == digits.classes
    with pytest.raises(InputError, match="no file"):
        load_manifest(tmp_path / "dataset.json")
    (tmp_path / "dataset.json").write_text(json.dumps(digits.as_json()))
    with pytest.raises(InputError, match=r"no .*train\.json"):
        load_manifest(tmp_path)
    (tmp_path / "dataset.json").write_text('{"name": "x"}')
    with pytest.raises(InputError, match="prepare it again"):
        load_manifest(tmp_path)


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_set_of_another_size_is_replaced(tmp_path):
    prepare_digits(tmp_path / "digits", 0, 3, 2)
    (tmp_path / "digits" / "dataset.json").unlink()  # as Snakemake does before it runs a job
    manifest = prepare_digits(tmp_path / "digits", 0, 1, 1)
    assert [path.name for path in manifest.images("train").iterdir()] == ["000001.jpg"]
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]


@pytest.mark.parametrize("edition", ["marked", "first"])
@pytest.mark.parametrize(
    "name",
    ["notes.txt", "train/mine.jpg", "annotations/mine.json", "val/.hidden", "empty/", "link"],
)
def test_a_file_beside_a_set_is_named_and_nothing_is_deleted(tmp_path, name, edition):
    folder = tmp_path / "digits"
    prepare_digits(folder, 0, 2, 1)
    if edition == "first":
        (folder / own_files.MARK).unlink()
    if name == "link":
        (folder / name).symlink_to(tmp_path)
    elif name.endswith("/"):
        (folder / name).mkdir()
    else:
        (folder / name).write_text("mine")
    before = files(folder)
    with pytest.raises(InputError, match=name.strip("/")):
        prepare_digits(folder, 0, 1, 1)
    assert files(folder) == before and (folder / name).exists()
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]


@pytest.mark.parametrize("name", ["annotations/train.json", "train/000001.jpg", "dataset.json"])
def test_a_changed_file_of_a_set_is_kept(tmp_path, name):
    prepare_digits(tmp_path, 0, 2, 1)
    with (tmp_path / name).open("ab") as stream:
        stream.write(b" ")
    before = files(tmp_path)
    with pytest.raises(InputError, match=f"{name}, which was changed since"):
        prepare_digits(tmp_path, 0, 1, 1)
    assert files(tmp_path) == before


def test_a_set_of_the_first_edition_is_replaced(tmp_path):
    prepare_digits(tmp_path / "d", 0, 2, 1)
    (tmp_path / "d" / own_files.MARK).unlink()
    assert prepare_digits(tmp_path / "d", 0, 1, 1).train.image_count == 1


@pytest.mark.parametrize("spoil", ["name", "classes", "annotations", "no manifest", "mark"])
def test_a_folder_that_only_looks_like_a_set_is_kept(tmp_path, spoil):
    manifest = prepare_digits(tmp_path, 0, 1, 1)
    content = manifest.as_json()
    (tmp_path / own_files.MARK).unlink()
    if spoil == "mark":
        (tmp_path / own_files.MARK).write_text('{"files": [')
    elif spoil == "annotations":
        (tmp_path / "annotations" / "train.json").write_text("{}")
    elif spoil == "no manifest":
        (tmp_path / "dataset.json").unlink()
    else:
        content[spoil] = {"name": "coco", "classes": ["cat"]}[spoil]
        (tmp_path / "dataset.json").write_text(json.dumps(content))
    if spoil == "mark":
        (tmp_path / "dataset.json").unlink()
    before = files(tmp_path)
    with pytest.raises(InputError, match="an older digits set alone"):
        prepare_digits(tmp_path, 0, 1, 1)
    assert files(tmp_path) == before


def test_a_list_that_leads_out_of_the_folder_deletes_nothing_there(tmp_path):
    (tmp_path / "mine").write_text("mine")
    folder = tmp_path / "digits"
    prepare_digits(folder, 0, 1, 1)
    mark = json.loads((folder / own_files.MARK).read_text())
    mark["files"]["../mine"] = None
    (folder / own_files.MARK).write_text(json.dumps(mark))
    prepare_digits(folder, 0, 1, 1)
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_set_behind_a_link_is_replaced_there(tmp_path):
    prepare_digits(tmp_path / "real", 0, 2, 1)
    (tmp_path / "link").symlink_to("real")
    prepare_digits(tmp_path / "link", 0, 1, 1)
    assert (tmp_path / "link").is_symlink()
    assert len(list((tmp_path / "real" / "train").iterdir())) == 1


def counts_of(folder, split="train"):
    document = json.loads((folder / "annotations" / f"{split}.json").read_text())
    return [each["instance_count"] for each in document["categories"]], document


@pytest.mark.parametrize("ratio", [1, 10, 100])
def test_imbalance_is_the_ratio_of_the_first_class_to_the_last(tmp_path, ratio):
    prepare_digits(tmp_path / "a", train_images=400, val_images=60, imbalance=ratio)
    counts, document = counts_of(tmp_path / "a")
    expected = ratio ** -np.linspace(0, 1, 10)
    expected *= sum(counts) / expected.sum()
    assert np.abs(np.array(counts) - expected).max() < 5 * np.sqrt(expected.max())
    assert [each["frequency"] for each in document["categories"]] == [*"ffffcccrrr"]
    balanced, _ = counts_of(tmp_path / "a", "val")
    assert max(balanced) < 3 * min(balanced)


@pytest.mark.parametrize(
    ("objects", "low", "high"), [("few", 1, 2), ("some", 2, 8), ("many", 5, 16)]
)
def test_objects_per_image(tmp_path, objects, low, high):
    prepare_digits(tmp_path / "a", train_images=40, val_images=4, imbalance=1, objects=objects)
    _, document = counts_of(tmp_path / "a")
    found = Counter(each["image_id"] for each in document["annotations"])
    assert low <= np.mean(list(found.values())) <= high
    assert max(found.values()) <= high


def test_another_val_seed_changes_the_val_split_alone(tmp_path):
    options = dict(train_images=6, val_images=6, imbalance=10)
    one = prepare_digits(tmp_path / "a", **options)
    other = prepare_digits(tmp_path / "b", **options, val_seed=1)
    assert one.train.sha256 == other.train.sha256 and one.val.sha256 != other.val.sha256


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(imbalance=0.5), "--imbalance from 1"),
        (dict(imbalance=float("nan")), "--imbalance from 1"),
        (dict(imbalance=1e7), "--imbalance from 1"),
        (dict(objects="lots"), "--objects as one of few, some, many; got 'lots'"),
    ],
)
def test_impossible_options_write_nothing(tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        prepare_digits(tmp_path / "a", **options)
    assert not (tmp_path / "a").exists()
