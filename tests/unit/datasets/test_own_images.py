"""Images of a user's own: found under the names they have, opened as the training opens them."""

import json
import os
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from rankdet.catalogue.presets import get_preset
from rankdet.datasets.coco import prepare_coco
from rankdet.datasets.images import STORED
from rankdet.errors import InputError
from rankdet.training.resolve import resolve
from tests.unit.datasets.own import both, turn, write_set


def renamed(name):
    """Return a change that gives every image the name ``name(its old one)``."""

    def change(content):
        for row in content["images"]:
            row["file_name"] = name(row["file_name"])

    return change


def prepared(root):
    return prepare_coco(root, root.parent / "ds" / "dataset.json")


NAMES = {
    "dot": lambda name: "./" + name,
    "up and down": lambda name: f"sub/../sub/{name}",
    "a folder": lambda name: f"sub dir/é/{name}",
    "windows": lambda name: f"sub\\{name}",
    "windows, absolute inside": lambda name: f".\\sub\\{name}",
}


@pytest.mark.parametrize("case", NAMES)
def test_names_that_lead_to_the_file(case, tmp_path):
    root = write_set(tmp_path / "data", **both(renamed(NAMES[case])))
    for split in ("train", "val"):
        for folder in ("sub dir/é", "sub"):
            (root / split / folder).mkdir(parents=True)
            for image in (root / split).glob("*.jpg"):
                shutil.copy(image, root / split / folder)
    manifest = prepared(root)
    content = json.loads(manifest.annotations("val").read_text())
    for row in content["images"]:  # what mmdet will open
        assert os.path.isfile(os.path.join(manifest.images("val"), row["file_name"]))


def test_absolute_names(tmp_path):
    def absolute(split):
        return renamed(lambda name: str(tmp_path / "data" / split / name))

    root = write_set(tmp_path / "data", train=absolute("train"), val=absolute("val"))
    assert prepared(root).train.image_count == 4


@pytest.mark.parametrize("name", ["../train/{}", "../../x/../data/train/{}", "{}/..", "."])
def test_names_that_lead_out_of_the_folder(name, tmp_path):
    root = write_set(tmp_path / "data", val=renamed(name.format))
    with pytest.raises(InputError, match=r"names of images below .*outside of it"):
        prepared(root)


def test_absolute_names_of_another_folder(tmp_path):
    change = renamed(lambda name: str(tmp_path / "data" / "train" / name))
    with pytest.raises(InputError, match="outside of it"):
        prepared(write_set(tmp_path / "data", val=change))


MISSING = {
    "windows": (lambda name: f"other\\{name}", "leave the folder other/ out of the file names"),
    "a folder that is not there": (lambda name: f"images/{name}", "leave the folder images/ out"),
    "upper case": (lambda name: name.upper(), "000.jpg is there: write upper and lower case"),
    "another ending": (lambda name: name[:-3] + "png", "000.jpg is there: .*own endings"),
    "nothing like it": (lambda name: "x" + name, "complete the images, or correct"),
    "a folder": (lambda name: "", "file_name"),
    "outside": (lambda name: "/" + name, "outside of it"),
    "zero byte": (lambda name: "a\0" + name, "file_name"),
    "very long": (lambda name: "a" * 5000, "complete the images"),
}


@pytest.mark.parametrize("case", MISSING)
def test_names_that_lead_nowhere(case, tmp_path):
    name, message = MISSING[case]
    with pytest.raises(InputError, match=message):
        prepared(write_set(tmp_path / "data", val=renamed(name)))
    assert not (tmp_path / "ds" / "dataset.json").exists()


def spoil(path, how):
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 3])
    elif how == "last bytes":
        path.write_bytes(content[:-40])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("<html>not found</html>")
    elif how == "float tiff":
        Image.fromarray(np.zeros((80, 96), np.float32)).save(path, "TIFF")
    elif how == "a folder":
        path.unlink()
        path.mkdir()


@pytest.mark.parametrize("how", ["truncated", "last bytes", "empty", "text", "float tiff"])
@pytest.mark.parametrize("place", [0, 117, 230])
def test_every_image_is_opened(how, place, tmp_path):
    root = write_set(tmp_path / "data", images=231)
    spoil(root / "train" / f"{place:03d}.jpg", how)
    with pytest.raises(InputError, match=f"images that OpenCV reads.*{place:03d}.jpg"):
        prepared(root)


def test_a_folder_is_no_image(tmp_path):
    root = write_set(tmp_path / "data")
    spoil(root / "val" / "001.jpg", "a folder")
    with pytest.raises(InputError, match=r"1 of 4 looked for are missing, first 001\.jpg"):
        prepared(root)


@pytest.mark.parametrize("kind", ["png", "gray", "palette", "16 bit", "webp"])
def test_kinds_that_the_training_reads(kind, tmp_path):
    root = write_set(tmp_path / "data", **both(renamed(lambda name: name)))
    for path in root.glob("*/*.jpg"):
        image = Image.open(path)
        image.load()
        if kind == "16 bit":
            cv2.imwrite(str(path.with_suffix(".png")), np.full((80, 96), 40000, np.uint16))
            path.with_suffix(".png").rename(path)
        elif kind in ("gray", "palette"):
            image.convert("L" if kind == "gray" else "P").save(path, "PNG")
        else:
            image.save(path, kind.upper())
    assert prepared(root).train.image_count == 4


def test_a_satellite_scene(tmp_path):
    def large(content):
        content["images"] = content["images"][:1]
        content["images"][0].update(width=14000, height=13000, file_name="large.png")
        content["annotations"] = content["annotations"][:2]

    root = write_set(tmp_path / "data", val=large)
    cv2.imwrite(str(root / "val" / "large.png"), np.zeros((13000, 14000), np.uint8))
    assert prepared(root).val.image_count == 1


@pytest.mark.parametrize("sizes", [(80, 96), (96, 81), (95, 80), (960, 800)])
def test_another_size_than_annotated(sizes, tmp_path):
    root = write_set(tmp_path / "data", train=lambda c: c["images"][2].update(
        width=sizes[0], height=sizes[1]
    ))  # fmt: skip
    with pytest.raises(InputError, match=f"002.jpg of {sizes[0]} x {sizes[1]} pixels.*got 96 x 80"):
        prepared(root)


def white_share(manifest, split="train"):
    """Return how much of the first box is white in what the row is trained or measured on."""
    from mmdet.registry import DATASETS
    from mmengine.registry import DefaultScope

    config = resolve("rs_atss_r50", get_preset("smoke"), manifest)
    with DefaultScope.overwrite_default_scope("mmdet"):
        loader = config.train_dataloader if split == "train" else config.test_dataloader
        sample = DATASETS.build(loader.dataset)[0]
    image = sample["inputs"].float().mean(0)
    box = json.loads(manifest.annotations(split).read_text())["annotations"][0]["bbox"]
    row = json.loads(manifest.annotations(split).read_text())["images"][0]
    x, y, w, h = np.array(box, float) * np.array([64 / row["width"], 64 / row["height"]] * 2)
    inside = image[int(y + 2) : int(y + h - 1), int(x + 2) : int(x + w - 1)]
    return float((inside > 128).float().mean())


def turned(content):
    """Exchange width and height in the annotations, as tools that do not heed EXIF see a file."""
    for row in content["images"]:
        row["width"], row["height"] = row["height"], row["width"]


@pytest.mark.parametrize("orientation", [6, 8])
def test_annotated_as_shown(orientation, tmp_path):
    root = write_set(tmp_path / "data")
    for path in root.glob("*/*.jpg"):
        turn(path, orientation)
    manifest = prepared(root)
    assert manifest.train.orientation == "shown"
    assert white_share(manifest) > 0.95 and white_share(manifest, "val") > 0.95


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_annotated_as_stored(orientation, tmp_path):
    """The pixels are as annotated; the camera's note says that they should be turned."""
    root = write_set(tmp_path / "data")
    exif = Image.Exif()
    exif[0x0112] = orientation
    for path in root.glob("*/*.jpg"):
        image = Image.open(path)
        image.load()
        image.save(path, exif=exif)
    manifest = prepared(root)
    assert manifest.train.orientation == manifest.val.orientation == STORED
    assert white_share(manifest) > 0.95 and white_share(manifest, "val") > 0.95


def test_both_in_one_split_are_refused(tmp_path):
    root = write_set(tmp_path / "data")
    turn(root / "train" / "001.jpg", 6)  # annotated as shown
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.open(root / "train" / "002.jpg")
    image.load()
    image.save(root / "train" / "002.jpg", exif=exif)  # annotated as stored
    with pytest.raises(InputError, match=r"002\.jpg annotated as stored, and .*001\.jpg"):
        prepared(root)


def test_a_turn_that_the_size_cannot_tell_is_said(tmp_path, capfd):
    root = write_set(tmp_path / "data")
    turn(root / "train" / "001.jpg", 3)
    assert prepared(root).train.orientation == "shown"
    assert "1 images have an EXIF orientation that their size cannot tell" in capfd.readouterr().err


def test_a_turn_of_a_file_without_annotated_size(tmp_path):
    def unsized(content):
        for row in content["images"]:
            del row["width"], row["height"]

    root = write_set(tmp_path / "data", **both(unsized))
    for path in root.glob("*/*.jpg"):
        turn(path, 8)
    manifest = prepared(root)
    rows = json.loads(manifest.annotations("train").read_text())["images"]
    assert {(row["width"], row["height"]) for row in rows} == {(96, 80)}
    assert white_share(manifest) > 0.95


def test_an_official_set_is_read_as_the_official_runs_did(tmp_path, monkeypatch):
    """With every turn, whatever its annotations count: otherwise the row is another experiment."""
    from rankdet.catalogue.official_files import OFFICIAL, OfficialSet, OfficialSplit
    from rankdet.datasets.manifest import categories_sha256

    root = write_set(tmp_path / "data")
    exif = Image.Exif()
    exif[0x0112] = 8
    for path in root.glob("*/*.jpg"):
        image = Image.open(path)
        image.load()
        image.save(path, exif=exif)
    sha256, split = categories_sha256([(1, "a"), (2, "b")]), OfficialSplit(4, 8)
    monkeypatch.setitem(OFFICIAL, "coco", OfficialSet("COCO", 2, sha256, split, split))
    assert prepared(root).train.orientation == "shown"
    other = OfficialSplit(4, 9)
    monkeypatch.setitem(OFFICIAL, "coco", OfficialSet("COCO", 2, sha256, other, split))
    manifest = prepared(root)
    assert (manifest.train.orientation, manifest.val.orientation) == (STORED, "shown")


def test_images_below_32_pixels(tmp_path, capfd):
    """A set that can be prepared and measured; a row whose loader leaves out its images says so."""

    def small(content):
        content["images"] = content["images"][:1]
        content["images"][0].update(width=40, height=30, file_name="small.png")
        content["annotations"] = content["annotations"][:1]
        content["annotations"][0]["bbox"] = [1, 1, 20, 20]

    root = write_set(tmp_path / "data", train=small)
    cv2.imwrite(str(root / "train" / "small.png"), np.zeros((30, 40), np.uint8))
    manifest = prepared(root)
    assert "left out: 1 on images below 32 pixels" in capfd.readouterr().err
    with pytest.raises(InputError, match=r"images of at least 32 pixels .*none in"):
        resolve("rs_atss_r50", get_preset("smoke"), manifest)
