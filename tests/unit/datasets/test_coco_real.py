"""A folder of real COCO images: taken over as it is; a broken copy is refused by the file's name.

The broken copies are made of links, so that nothing is copied but what is broken.
"""

import csv
import json
import os
import re
from pathlib import Path

import pytest

from rankdet.datasets.coco import prepare_coco
from rankdet.errors import InputError

DATA = Path(os.environ.get("RANKDET_DATA") or Path(__file__).parents[4] / "shared/data")
ROOT = DATA / "coco_real"
pytestmark = pytest.mark.skipif(
    not (ROOT / "images.csv").is_file(),
    reason="needs the 238 real images (coco_real): set RANKDET_DATA",
)


@pytest.fixture
def copy(tmp_path):
    """A copy of the folder whose files are links, with a list of all hashes known of it."""
    folder = tmp_path / "copy"
    for name in ("annotations", "train", "val"):
        (folder / name).mkdir(parents=True)
        for path in (ROOT / name).iterdir():
            (folder / name / path.name).symlink_to(path)
    with (ROOT / "images.csv").open(newline="") as stream:
        lines = [f"{r['sha256']}  {r['split']}/{r['file']}\n" for r in csv.DictReader(stream)]
    sources = (DATA / "SOURCES.md").read_text()
    for split in ("train", "val"):
        name = f"annotations/instances_{split}.json"
        found = re.search(rf"instances_{split}\.json \|.*?JSON ([0-9a-f]{{64}})", sources)
        lines.append(f"{found[1]}  {name}\n")
    (folder / "SHA256SUMS").write_text("".join(lines))
    return folder


def replace(path, content):
    """Break the link and write a file of its own."""
    path.unlink()
    path.write_bytes(content)


def refused(folder, tmp_path, name, message):
    out = tmp_path / "prepared" / "dataset.json"
    with pytest.raises(InputError, match=re.escape(name)) as raised:
        prepare_coco(folder, out)
    assert message in str(raised.value)
    assert not out.exists()


def test_is_taken_over_as_it_is(tmp_path):
    before = {path: path.stat().st_mtime_ns for path in ROOT.rglob("*")}
    manifest = prepare_coco(ROOT, tmp_path / "dataset.json", "mini")
    assert (manifest.train.image_count, manifest.val.image_count) == (80, 158)
    assert manifest.train.annotation_count + manifest.val.annotation_count == 2129
    assert len(manifest.classes) == 80
    assert manifest.images("train") == ROOT.resolve() / "train"
    assert {path: path.stat().st_mtime_ns for path in ROOT.rglob("*")} == before


def test_a_whole_copy_with_hashes_is_accepted(copy, tmp_path):
    prepare_coco(copy, tmp_path / "dataset.json")


@pytest.mark.parametrize("with_hashes", [True, False])
def test_a_missing_image(copy, tmp_path, with_hashes):
    name = sorted(path.name for path in (copy / "val").iterdir())[7]
    (copy / "val" / name).unlink()
    if not with_hashes:
        (copy / "SHA256SUMS").unlink()
    refused(copy, tmp_path, name, "missing" if not with_hashes else "no ")


def test_a_changed_annotation(copy, tmp_path):
    """One box, one pixel wider: only the hash can tell."""
    path = copy / "annotations/instances_val.json"
    content = json.loads(path.read_text())
    content["annotations"][100]["bbox"][2] += 1
    replace(path, json.dumps(content, separators=(",", ":")).encode())
    refused(copy, tmp_path, "annotations/instances_val.json", "the file has changed")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda rows: rows[3].update(image_id=1), "image_id 1 in annotation"),
        (lambda rows: rows[3].update(bbox=[0, 0, -5, 5]), "got [0.0, 0.0, -5.0, 5.0] in entry 3"),
        (lambda rows: rows[3].update(bbox=[0, 0, 5]), "got [0, 0, 5] in entry 3"),
        (lambda rows: rows[3].update(id=rows[4]["id"]), "unique annotation ids"),
    ],
)
def test_an_annotation_that_cannot_be_meant(copy, tmp_path, edit, message):
    (copy / "SHA256SUMS").unlink()
    path = copy / "annotations/instances_train.json"
    content = json.loads(path.read_text())
    edit(content["annotations"])
    replace(path, json.dumps(content).encode())
    refused(copy, tmp_path, "annotations/instances_train.json", message)


def test_a_truncated_image(copy, tmp_path):
    (copy / "SHA256SUMS").unlink()
    path = sorted((copy / "train").iterdir())[5]
    replace(path, path.read_bytes()[: path.stat().st_size // 2])
    refused(copy, tmp_path, path.name, "damaged")


def test_an_image_of_another_size(copy, tmp_path):
    from PIL import Image

    (copy / "SHA256SUMS").unlink()
    path = sorted((copy / "train").iterdir())[6]
    path.unlink()
    Image.new("RGB", (10, 12)).save(path)
    refused(copy, tmp_path, path.name, "10 x 12")


def test_a_flipped_bit_in_an_image(copy, tmp_path):
    path = sorted((copy / "train").iterdir())[8]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    replace(path, bytes(content))
    refused(copy, tmp_path, f"train/{path.name}", "the file has changed")


def test_a_list_of_hashes_must_be_one(copy, tmp_path):
    (copy / "SHA256SUMS").write_text("abc annotations/instances_val.json\n")
    with pytest.raises(InputError, match="line 1: a sha256 and a path"):
        prepare_coco(copy, tmp_path / "dataset.json")
    with pytest.raises(InputError, match="a list of hashes"):
        prepare_coco(copy, tmp_path / "dataset.json", sums=tmp_path / "none")
