"""`rankdet train` with two folders in place of three options, as in the image."""

import json
from types import SimpleNamespace

import pytest
from PIL import Image

from rankdet.catalogue.presets import PRESETS
from rankdet.cli import places
from rankdet.errors import InputError

ROW = SimpleNamespace(entry_id="rs_atss_r50", dataset="coco")
LVIS_ROW = SimpleNamespace(entry_id="rs_mask_r50_lvis", dataset="lvis")


@pytest.fixture
def mounts(tmp_path, monkeypatch):
    """The two folders of a container."""
    for name in ("data", "results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"RANKDET_{name.upper()}", str(tmp_path / name))
    return tmp_path


def coco_folder(root):
    """Write the smallest folder in COCO layout."""
    (root / "annotations").mkdir(parents=True)
    for index, split in enumerate(("train", "val")):
        (root / split).mkdir()
        image = {"id": 1, "file_name": f"{index}.jpg", "width": 40, "height": 40}
        Image.new("RGB", (40, 40)).save(root / split / image["file_name"])
        box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 4], "area": 16}
        content = {
            "images": [image],
            "annotations": [{**box, "iscrowd": 0}],
            "categories": [{"id": 1, "name": "thing"}],
        }
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))


def test_files_lie_by_preset_and_entry(mounts):
    results = mounts / "results"
    assert places.checkpoint(None, ROW, "paper") == results / "paper/rs_atss_r50/checkpoint.pth"
    assert places.detections(None, ROW, "paper") == results / "paper/rs_atss_r50/detections.json"
    assert places.work_dir(None, ROW, "paper") == results / "work/paper/rs_atss_r50"
    assert places.work_dir(None, ROW, "mini", "predict").name == "predict"


def test_what_is_given_wins(mounts, tmp_path):
    assert places.checkpoint(tmp_path / "my.pth", ROW, "paper") == tmp_path / "my.pth"
    assert places.work_dir(tmp_path / "w", ROW, "paper") == tmp_path / "w"


def test_a_folder_in_coco_layout_is_prepared_once(mounts):
    coco_folder(mounts / "data")
    manifest = places.data_set(None, ROW, PRESETS["paper"])
    assert (manifest.name, manifest.train.image_count) == ("coco", 1)
    path = mounts / "results/data/coco/dataset.json"
    before = path.stat().st_mtime_ns
    assert places.data_set(None, ROW, PRESETS["paper"]) == manifest
    assert path.stat().st_mtime_ns == before
    assert not list((mounts / "data").glob("*.json"))  # it is read only


def test_changed_annotations_are_prepared_again(mounts):
    coco_folder(mounts / "data")
    first = places.data_set(None, ROW, PRESETS["mini"])
    annotations = mounts / "data/annotations/instances_val.json"
    content = json.loads(annotations.read_text())
    content["annotations"][0]["bbox"] = [0, 0, 5, 5]
    annotations.write_text(json.dumps(content))
    second = places.data_set(None, ROW, PRESETS["mini"])
    assert second.val.sha256 != first.val.sha256 and second.name == "mini"


def test_an_overfit_check_trains_on_the_val_images(mounts):
    coco_folder(mounts / "data")
    manifest = places.data_set(None, LVIS_ROW, PRESETS["overfit"])
    assert manifest.train == manifest.val and manifest.format == "coco"


def test_another_mount_is_prepared_again(mounts, monkeypatch):
    coco_folder(mounts / "data")
    places.data_set(None, ROW, PRESETS["mini"])
    coco_folder(mounts / "other")
    monkeypatch.setenv("RANKDET_DATA", str(mounts / "other"))
    manifest = places.data_set(None, ROW, PRESETS["mini"])
    assert manifest.images("val") == mounts / "other" / "val"


def test_a_prepared_folder_is_taken_as_it_is(mounts):
    manifest = places.data_set(None, ROW, PRESETS["smoke"])
    assert (manifest.train.image_count, manifest.val.image_count) == (8, 4)
    assert manifest.folder == mounts / "results/data/digits-tiny"
    (mounts / "data").rmdir()
    manifest.folder.rename(mounts / "data")
    assert places.data_set(None, ROW, PRESETS["paper"]).folder == mounts / "data"


@pytest.mark.parametrize(
    ("row", "spoil", "message"),
    [
        (ROW, None, r"a data set in .*data.*got nothing there; mount .*-v DATA:"),
        (ROW, "layout", r"the train split in .*instances_train2017.json"),
        (LVIS_ROW, "layout", r"the train split in .*lvis_v1_train.json"),
    ],
)
def test_a_folder_that_is_no_data_set_is_explained(mounts, row, spoil, message):
    if spoil:
        (mounts / "data" / "photos").mkdir()
    with pytest.raises(InputError, match=message):
        places.data_set(None, row, PRESETS["paper"])
    assert not (mounts / "results" / "data").exists()


def test_without_the_variables_the_options_are_asked_for(monkeypatch):
    for name in (places.DATA, places.RESULTS):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match=r"--data.*RANKDET_DATA"):
        places.data_set(None, ROW, PRESETS["paper"])
    with pytest.raises(InputError, match="--out"):
        places.checkpoint(None, ROW, "paper")
