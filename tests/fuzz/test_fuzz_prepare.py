"""Random changes of a valid data set: `prepare` accepts it and mmdet can read it, or refuses."""

import copy
import itertools
import json

import pytest
from hypothesis import strategies as st

from rankdet.datasets.coco import prepare_coco
from rankdet.datasets.manifest import load_manifest
from rankdet.evaluation import read_ground_truth
from tests.fuzz.bounded import counts, fuzz
from tests.unit.datasets.own import document, mmdet_data, write_set

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 120),
    st.sampled_from([2**63, -(2**70), 10**400, 1e300, float("nan"), float("inf"), 0.5, 1.0]),
    st.sampled_from(["", "1", "a", "é?中", "../x.jpg", "001.jpg", "a\0b", "\ud800", "x" * 300]),
    st.sampled_from([[], {}, [1, 2, 3, 4], [[1, 1, 9, 1, 9, 9]], [[1, 1]], [[0.0] * 6, "x"]]),
    st.sampled_from([{"size": [80, 96], "counts": "?中"}, {"size": [80, 96], "counts": [7680]}]),
)
KEYS = (
    *("id", "file_name", "width", "height", "image_id", "category_id", "bbox", "area", "iscrowd"),
    *("ignore", "segmentation", "name", "coco_url", "further"),
)
LISTS = st.sampled_from(["images", "annotations", "categories"])
CHANGES = st.lists(
    st.tuples(LISTS, st.integers(0, 7), st.sampled_from(KEYS), st.sampled_from("sdara"), ODD),
    min_size=1,
    max_size=3,
)


def changed(changes):
    """Return a document with a few places set, deleted, added, repeated or replaced."""
    content = document()
    for key, place, name, how, value in changes:
        rows = content.get(key)
        if not isinstance(rows, list) or not rows:
            continue
        row = rows[place % len(rows)]
        if how == "a":
            content[key] = value if place == 7 else rows
        elif how == "r":
            rows.append(value if place == 6 else copy.copy(row))
        elif isinstance(row, dict):
            row.pop(name, None)
            if how == "s":
                row[name] = value
    return content


@counts
def test_annotations(count, tmp_path, capfd):
    root = write_set(tmp_path / "data")
    out = tmp_path / "ds" / "dataset.json"
    numbers = itertools.count()

    def prepare(changes):
        for split, content in (("train", changed(changes)), ("val", changed(changes[:1]))):
            path = root / "annotations" / f"instances_{split}.json"
            path.write_text(json.dumps(content))
        manifest = prepare_coco(root, out)
        assert load_manifest(out) == manifest
        for split in ("train", "val"):
            read_ground_truth(manifest.annotations(split), ("bbox",))
            data = mmdet_data(manifest, split, serialize_data=False)
            assert data.cat_ids == manifest.category_ids
            assert len(data) and any(row["instances"] for row in data.data_list)
        if next(numbers) % 100 == 0:
            capfd.readouterr()  # what mmdet and prepare print is not kept

    answered, refused = fuzz(count, CHANGES, prepare)
    assert answered > count / 20 and refused > count / 20


BYTES = st.lists(
    st.tuples(
        st.integers(0, 5000), st.sampled_from(["cut", "flip", "insert"]), st.binary(max_size=9)
    ),
    min_size=1,
    max_size=3,
)


@counts
@pytest.mark.parametrize("what", ["annotations", "image", "manifest"])
def test_damaged_files(what, count, tmp_path, capfd):
    root = write_set(tmp_path / "data")
    out = tmp_path / "ds" / "dataset.json"
    prepare_coco(root, out)
    path = {
        "annotations": root / "annotations" / "instances_val.json",
        "image": root / "val" / "001.jpg",
        "manifest": out,
    }[what]
    whole = path.read_bytes()

    def prepare(changes):
        content = whole
        for place, how, more in changes:
            place %= len(content) + 1
            if how == "cut":
                content = content[:place]
            elif how == "flip":
                content = content[:place] + more + content[place + len(more) :]
            else:
                content = content[:place] + more + content[place:]
        path.write_bytes(content)
        if what == "manifest":
            load_manifest(out)
        else:
            prepare_coco(root, tmp_path / "other" / "dataset.json")
        capfd.readouterr()

    answered, refused = fuzz(count, BYTES, prepare)
    assert refused > count / 20 and (answered or what != "image")
