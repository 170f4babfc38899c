"""Which data a step reads: the prepared ones or none; where they lie does not matter."""

import json
import shutil

import pytest

from rankdet.datasets.coco import prepare_coco, prepare_search_split
from rankdet.datasets.manifest import load_manifest
from rankdet.errors import InputError
from tests.unit.datasets.own import both, write_set


def edit(path):
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"][2] += 1
    path.write_text(json.dumps(content))


def no_area(content):
    for row in content["annotations"]:
        del row["area"]


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("change", [lambda content: None, no_area], ids=["as it is", "completed"])
def test_an_edited_annotation_file_is_noticed(split, change, tmp_path):
    root = write_set(tmp_path / "data", **both(change))
    manifest = prepare_coco(root, tmp_path / "ds" / "dataset.json")
    assert load_manifest(tmp_path / "ds") == manifest
    edit(root / "annotations" / f"instances_{split}.json")
    with pytest.raises(InputError, match=f"instances_{split}.json as it was prepared.*prepare it"):
        load_manifest(tmp_path / "ds")
    prepare_coco(root, tmp_path / "ds" / "dataset.json")
    assert load_manifest(tmp_path / "ds").identity() != manifest.identity()


def test_an_edited_copy_is_noticed(tmp_path):
    root = write_set(tmp_path / "data", **both(no_area))
    manifest = prepare_coco(root, tmp_path / "ds" / "dataset.json")
    edit(manifest.annotations("val"))
    with pytest.raises(InputError, match=r"dataset-val\.json as it was prepared"):
        load_manifest(tmp_path / "ds")


def test_a_moved_data_set_is_the_same(tmp_path):
    root = write_set(tmp_path / "data", **both(no_area))
    first = prepare_coco(root, tmp_path / "ds" / "dataset.json")
    shutil.move(root, tmp_path / "elsewhere")
    second = prepare_coco(tmp_path / "elsewhere", tmp_path / "ds2" / "dataset.json")
    assert first.identity() == second.identity()
    assert first.train.annotations != str(second.annotations("train"))


def test_the_identity_says_what_the_data_are(tmp_path):
    root = write_set(tmp_path / "data")
    found = prepare_coco(root, tmp_path / "dataset.json", "mine").identity()
    assert (found["name"], found["format"], found["categories"]) == ("mine", "coco", 2)
    assert (found["train_images"], found["val_annotations"]) == (4, 8)
    other = write_set(tmp_path / "other", **both(lambda c: c["categories"][0].update(name="c")))
    changed = prepare_coco(other, tmp_path / "d.json").identity()
    assert changed["categories_sha256"] != found["categories_sha256"]


def test_a_manifest_of_an_older_version_is_refused(tmp_path):
    manifest = prepare_coco(write_set(tmp_path / "data"), tmp_path / "dataset.json")
    content = manifest.as_json()
    for wrong in ([], [1], [1, 2, 3]):
        content["category_ids"] = wrong
        (tmp_path / "dataset.json").write_text(json.dumps(content))
        with pytest.raises(InputError, match="an older version"):
            load_manifest(tmp_path / "dataset.json")


def test_a_search_split_keeps_what_was_found_out(tmp_path):
    root = write_set(tmp_path / "data", **both(lambda c: c["categories"].reverse()), images=6)
    manifest = prepare_coco(root, tmp_path / "dataset.json")
    split = prepare_search_split(manifest, tmp_path / "search" / "dataset.json", 2, 0)
    assert split.category_ids == [1, 2]
    assert load_manifest(tmp_path / "search").identity() == split.identity()


@pytest.mark.parametrize("change", [lambda content: None, no_area], ids=["as it is", "completed"])
def test_evaluate_refuses_edited_annotations_too(change, tmp_path, monkeypatch, capsys):
    from rankdet.cli import main

    root = write_set(tmp_path / "data", **both(change))
    prepare_coco(root, tmp_path / "ds" / "dataset.json")
    (tmp_path / "dt.json").write_text("[]")
    options = {"--dataset": "ds", "--detections": "dt.json", "--out": "m.json"}
    words = [word for option, name in options.items() for word in (option, str(tmp_path / name))]
    monkeypatch.setattr("sys.argv", ["rankdet", "evaluate", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    edit(root / "annotations" / "instances_val.json")
    (tmp_path / "m.json").unlink()
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2 and "as it was prepared" in capsys.readouterr().err
    assert not (tmp_path / "m.json").exists()


def test_an_overfit_check_writes_one_copy(tmp_path):
    root = write_set(tmp_path / "data", **both(no_area))
    manifest = prepare_coco(root, tmp_path / "ds" / "dataset.json", overfit=True)
    assert manifest.train == manifest.val
    names = {path.name for path in (tmp_path / "ds").iterdir()}
    assert names == {"dataset.json", "dataset-val.json"}
