"""A user's COCO folder: taken over as it is, or refused with the first thing that is wrong."""

import json
import shutil

import pytest

from rankdet.datasets.coco import prepare_coco
from rankdet.datasets.digits import prepare_digits
from rankdet.datasets.manifest import load_manifest
from rankdet.errors import InputError


@pytest.fixture
def folder(tmp_path):
    """A small set in COCO's own layout."""
    made = prepare_digits(tmp_path / "made", 0, 6, 3)
    root = tmp_path / "coco"
    (root / "annotations").mkdir(parents=True)
    for split in ("train", "val"):
        shutil.copy(made.annotations(split), root / f"annotations/instances_{split}2017.json")
        shutil.copytree(made.images(split), root / f"{split}2017")
    return root


def test_takes_over_without_copying(folder, tmp_path):
    out = tmp_path / "prepared" / "dataset.json"
    prepare_coco(folder, out, "mine")
    manifest = load_manifest(out)
    assert manifest.images("train") == folder / "train2017"
    assert manifest.train.image_count == 6 and len(manifest.classes) == 10
    assert [path.name for path in out.parent.iterdir()] == ["dataset.json"]


def test_an_overfit_check_trains_on_the_val_images(folder, tmp_path):
    out = tmp_path / "dataset.json"
    prepare_coco(folder, out, "mine-overfit", overfit=True)
    manifest = load_manifest(out)
    assert manifest.train == manifest.val
    assert manifest.images("train") == folder / "val2017"


def test_finds_the_layout_without_the_year(folder, tmp_path):
    for split in ("train", "val"):
        (folder / f"{split}2017").rename(folder / split)
        name = folder / f"annotations/instances_{split}2017.json"
        name.rename(folder / f"annotations/instances_{split}.json")
    assert prepare_coco(folder, tmp_path / "d.json").val.image_count == 3


def test_finds_cityscapes_as_mmdet_converts_it(folder, tmp_path):
    (folder / "leftImg8bit").mkdir()
    for split in ("train", "val"):
        (folder / f"{split}2017").rename(folder / "leftImg8bit" / split)
        name = folder / f"annotations/instances_{split}2017.json"
        name.rename(folder / f"annotations/instancesonly_filtered_gtFine_{split}.json")
    manifest = prepare_coco(folder, tmp_path / "d.json", "cityscapes")
    assert manifest.images("val") == folder / "leftImg8bit" / "val"


@pytest.fixture
def lvis(tmp_path):
    """A small set as LVIS v1 lies beside COCO 2017: images are named by address only."""
    made = prepare_digits(tmp_path / "made", 0, 6, 3, long_tail=True)
    root = tmp_path / "lvis"
    (root / "annotations").mkdir(parents=True)
    for split in ("train", "val"):
        content = json.loads(made.annotations(split).read_text())
        for row in content["images"]:
            del row["file_name"]
        (root / f"annotations/lvis_v1_{split}.json").write_text(json.dumps(content))
        shutil.copytree(made.images(split), root / split)
    return root


def test_takes_over_lvis(lvis, tmp_path):
    manifest = prepare_coco(lvis, tmp_path / "d.json", "lvis", format="lvis")
    assert manifest.format == "lvis" and manifest.images("train") == lvis
    assert load_manifest(tmp_path / "d.json") == manifest


def test_lvis_needs_its_own_fields_and_images(lvis, tmp_path):
    next((lvis / "train").glob("*.jpg")).unlink()
    with pytest.raises(InputError, match=r"1 of 6 looked for are missing, first train/"):
        prepare_coco(lvis, tmp_path / "d.json", format="lvis")
    path = lvis / "annotations" / "lvis_v1_train.json"
    content = json.loads(path.read_text())
    del content["categories"][2]["frequency"]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"\"frequency\" in every category; got entry 2"):
        prepare_coco(lvis, tmp_path / "d.json", format="lvis")


def change(folder, edit):
    path = folder / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(edit(content)))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: [c], 'arrays "images".* got a list'),
        (lambda c: {k: c[k] for k in c if k != "images"}, "a list 'images'; got the keys 'info'"),
        (
            lambda c: {**c, "annotations": []},
            "at least one entry in .annotations.; got an empty",
        ),
        (lambda c: {**c, "categories": [{"id": 1}]}, r"got None in categories\[0\]"),
        (
            lambda c: {**c, "annotations": [{**c["annotations"][0], "category_id": 99}]},
            "category_id 99 in annotation 1, which is not listed",
        ),
    ],
)
def test_not_coco(folder, tmp_path, edit, message):
    change(folder, edit)
    with pytest.raises(InputError, match=message):
        prepare_coco(folder, tmp_path / "d.json")
    assert not (tmp_path / "d.json").exists()


def test_missing_images_folder_and_file(folder, tmp_path):
    with pytest.raises(InputError, match="no folder"):
        prepare_coco(tmp_path / "nowhere", tmp_path / "d.json")
    (folder / "val2017" / "000001.jpg").unlink()
    with pytest.raises(InputError, match=r"1 of 3 looked for are missing, first 000001\.jpg"):
        prepare_coco(folder, tmp_path / "d.json")
    shutil.rmtree(folder / "val2017")
    with pytest.raises(InputError, match="the val split"):
        prepare_coco(folder, tmp_path / "d.json")


def test_not_json(folder, tmp_path):
    (folder / "annotations" / "instances_train2017.json").write_text("<html>quota</html>")
    with pytest.raises(InputError, match="not JSON"):
        prepare_coco(folder, tmp_path / "d.json")
