"""The drawn set of preset rehearsal."""

import json

import pytest

from rankdet.datasets.drawn import CATEGORIES, prepare_drawn
from rankdet.errors import InputError


@pytest.mark.parametrize(
    ("like", "classes", "form"),
    [("coco", 80, "coco"), ("lvis", 1203, "lvis"), ("cityscapes", 8, "coco")],
)
def test_layout_and_categories_of_the_papers_data(tmp_path, like, classes, form):
    found = prepare_drawn(tmp_path / "set", like)
    assert (len(found.classes), found.format) == (classes, form)
    content = json.loads(found.annotations("train").read_text())
    assert [row["id"] for row in content["categories"]] == CATEGORIES[like]
    assert {row["width"] > row["height"] for row in content["images"]} == {True}
    val = json.loads(found.annotations("val").read_text())["images"]
    assert (
        len({(row["width"] > row["height"]) - (row["width"] < row["height"]) for row in val}) == 3
    )


def test_corner_cases_are_there(tmp_path):
    content = json.loads(prepare_drawn(tmp_path / "set").annotations("train").read_text())
    rows = content["annotations"]
    assert {row["id"] for row in content["images"]} - {row["image_id"] for row in rows}
    assert any(row["iscrowd"] for row in rows)
    assert any(min(row["bbox"][2:]) < 1 for row in rows)
    assert any(row["bbox"][0] < 0 for row in rows)


def test_the_same_seed_gives_the_same_set_and_is_kept(tmp_path):
    one = prepare_drawn(tmp_path / "a")
    assert one.train.sha256 == prepare_drawn(tmp_path / "b").train.sha256
    assert one.train.sha256 != prepare_drawn(tmp_path / "c", seed=1).train.sha256
    image = next((tmp_path / "a").rglob("*.jpg"))
    before = image.stat().st_mtime_ns
    assert prepare_drawn(tmp_path / "a") == one and image.stat().st_mtime_ns == before


def test_a_set_whose_description_is_gone_is_drawn_again(tmp_path):
    one = prepare_drawn(tmp_path / "a")
    (tmp_path / "a" / "dataset.json").unlink()
    assert prepare_drawn(tmp_path / "a") == one


def test_a_folder_with_other_content_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="a new or empty folder"):
        prepare_drawn(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_unknown_layout_is_answered(tmp_path):
    with pytest.raises(InputError, match="coco or lvis or cityscapes"):
        prepare_drawn(tmp_path / "a", "voc")
