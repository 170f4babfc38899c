"""Ids of other tools: the error says what they are and gives the annotated id of the first."""

import json

import pytest

from rankdet.errors import InputError
from rankdet.evaluation import evaluate
from tests.unit.evaluation.cases import tiny


def dataset(*names, ids=(3, 7), **row):
    truth, rows = tiny()
    image = truth["images"][0]
    truth["images"] = [
        {**image, "id": identity, "file_name": name}
        for identity, name in zip(ids, names, strict=True)
    ]
    truth["annotations"][0]["image_id"] = ids[0]
    return truth, [{**rows[0], "image_id": ids[0], **row}]


@pytest.fixture(params=["documents", "files"])
def refused(request, tmp_path):
    def call(truth, rows, protocol="coco"):
        if request.param == "files":
            for name, content in (("truth", truth), ("rows", rows)):
                (tmp_path / f"{name}.json").write_text(json.dumps(content))
            truth, rows = tmp_path / "truth.json", tmp_path / "rows.json"
        with pytest.raises(InputError) as caught:
            evaluate(truth, rows, "bbox", protocol)
        assert "\n" not in str(caught.value)
        return caught.value

    return call


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("frame_2", ("frame_1.jpg", "frame_2.jpg")),
        ("frame_2.jpg", ("frame_1.jpg", "frame_2.jpg")),
        ("frame_2.png", ("frame_1.jpg", "frame_2.jpg")),
        ("val/frame_2.jpg", ("a/frame_1.jpg", "b/frame_2.jpg")),
        ("C:\\data\\frame_2.jpg", ("frame_1.jpg", "frame_2.jpg")),
        ("a.b.c", ("a.b.jpg", "a.b.c.jpg")),
        ("000012", ("000011.jpg", "000012.jpg")),
        ("12", ("000011.jpg", "000012.jpg")),
        ("照片2", ("照片1.jpg", "照片2.jpg")),
    ],
)
def test_file_names(refused, text, names):
    error = refused(*dataset(*names, image_id=text))
    assert error.fix.startswith("the image ids are file names")
    assert f"7 for {text!r}" in error.fix
    assert error.got == f"{text!r} in entry 0"


def test_a_file_name_that_is_not_annotated(refused):
    fix = refused(*dataset("1.jpg", "2.jpg", image_id="frame_1")).fix
    assert "use the ids of the annotation file instead" in fix
    assert "it has no file 'frame_1', its first file is '1.jpg'" in fix
    truth, rows = tiny()
    fix = refused(truth, [{**rows[0], "image_id": "frame_1"}]).fix
    assert fix == "the image ids are file names: use the ids of the annotation file instead"


def test_equal_stems_are_no_answer(refused):
    assert "for 'x'" not in refused(*dataset("a/x.jpg", "b/x.jpg", image_id="x")).fix


@pytest.mark.parametrize("text", ["3", " 3 ", "-3", "0003"])
@pytest.mark.parametrize("key", ["image_id", "category_id"])
def test_numbers_as_text(refused, key, text):
    error = refused(*dataset("a.jpg", "b.jpg", **{key: text}))
    assert error.fix == f"convert the ids to numbers: {int(text)}"


def test_names_of_categories(refused):
    fix = refused(*dataset("a.jpg", "b.jpg", category_id="thing")).fix
    assert "category ids are names: use" in fix and "1 for 'thing'" in fix
    fix = refused(*dataset("a.jpg", "b.jpg", category_id="dog")).fix
    assert fix == "the category ids are names: use the ids of the annotation file instead"


@pytest.mark.parametrize("value", [None, True, [1], {"id": 1}])
def test_what_is_neither_number_nor_text(refused, value):
    fix = refused(*dataset("a.jpg", "b.jpg", image_id=value)).fix
    assert fix == "write it as a JSON number"


@pytest.mark.parametrize("place", [0, 1, 70_000])
def test_the_entry_is_counted_over_the_whole_file(refused, place):
    truth, rows = dataset("a.jpg", "b.jpg")
    rows = rows * (place + 1)
    rows[place] = {**rows[place], "image_id": "b"}
    assert refused(truth, rows).got == f"'b' in entry {place}"


def test_unknown_ids_that_are_numbers_of_file_names(refused):
    fix = refused(*dataset("000000011.jpg", "000000012.jpg", image_id=12)).fix
    assert fix == (
        "the ids are the numbers in the file names: use the ids of the annotation file instead, "
        "7 for 12"
    )


def test_unknown_ids_that_are_positions(refused):
    fix = refused(*dataset("a.jpg", "b.jpg", image_id=0)).fix
    assert "positions in the list of images, from 0" in fix and "the first is 3" in fix


def test_unknown_ids_of_another_split(refused):
    error = refused(*dataset("a.jpg", "b.jpg", image_id=99))
    assert error.fix == "check that annotations and detections are of the same split"


@pytest.mark.parametrize("table", ["images", "categories", "annotations"])
@pytest.mark.parametrize(
    ("text", "fix"), [("5", "as a JSON number: 5"), ("frame", "number the entries from 1")]
)
def test_text_in_the_annotation_file(refused, table, text, fix):
    truth, rows = dataset("a.jpg", "b.jpg")
    truth[table][0]["id"] = text
    assert fix in refused(truth, rows).fix
