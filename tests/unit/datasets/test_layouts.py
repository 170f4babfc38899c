"""Folders as other tools write them; the exports are made by hand after their documentation."""

import pytest

from rankdet.datasets.coco import prepare_coco
from rankdet.datasets.own_files import annotation_files
from rankdet.errors import InputError
from tests.own_data.exports import EXPORTS, label_studio
from tests.unit.datasets.own import write_set


@pytest.mark.parametrize("tool", EXPORTS)
def test_an_export_is_taken_over(tool, tmp_path):
    export = EXPORTS[tool](tmp_path / "export")
    manifest = prepare_coco(tmp_path / "export", tmp_path / "ds" / "dataset.json", **export)
    assert manifest.train.image_count + manifest.val.image_count == 8
    assert {"cat", "dog"} <= set(manifest.classes)
    assert not list((tmp_path / "export").rglob("dataset*"))


def test_an_export_without_splits_says_what_to_do(tmp_path):
    options = label_studio(tmp_path / "export")
    with pytest.raises(InputError, match=r"result\.json, one list .*--val-fraction 0\.2"):
        prepare_coco(tmp_path / "export", tmp_path / "dataset.json")
    assert options == {"val_fraction": 0.5}
    for fraction in (0.0, 0.01, 1.0):
        with pytest.raises(InputError, match="--val-fraction that leaves both"):
            prepare_coco(tmp_path / "export", tmp_path / "dataset.json", val_fraction=fraction)


def test_a_random_division_is_the_same_every_time(tmp_path):
    label_studio(tmp_path / "export")
    one, two, other = (
        prepare_coco(
            tmp_path / "export", tmp_path / f"{index}" / "d.json", val_fraction=0.5, seed=seed
        )
        for index, seed in enumerate((0, 0, 1))
    )
    assert one.val.sha256 == two.val.sha256 != other.val.sha256


def test_any_other_layout_by_name(tmp_path):
    root = write_set(tmp_path / "data")
    (root / "labels").mkdir()
    for split in ("train", "val"):
        (root / f"annotations/instances_{split}.json").rename(root / f"labels/{split}-v2.json")
    files = {f"{s}_annotations": f"labels/{s}-v2.json" for s in ("train", "val")}
    with pytest.raises(InputError, match="name the files with --train-annotations"):
        prepare_coco(root, tmp_path / "d.json")
    with pytest.raises(InputError, match="both --train-annotations and --train-images"):
        prepare_coco(root, tmp_path / "d.json", files=files)
    files |= {f"{split}_images": split for split in ("train", "val")}
    assert prepare_coco(root, tmp_path / "d.json", files=files).val.image_count == 4
    with pytest.raises(InputError, match=r"no .*nothing"):
        prepare_coco(root, tmp_path / "d.json", files=files | {"val_images": "nothing"})


def test_the_files_that_a_rule_watches(tmp_path):
    root = write_set(tmp_path / "data")
    wanted = [str(root / f"annotations/instances_{split}.json") for split in ("train", "val")]
    assert annotation_files(root) == wanted
    assert annotation_files(tmp_path / "nowhere") == []
