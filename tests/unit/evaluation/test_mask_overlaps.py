"""What is left out before masks are compared cannot overlap enough."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_tools

from rankdet.evaluation import evaluate, mask_overlaps
from rankdet.evaluation.judge import differences
from rankdet.evaluation.masks import prepared
from rankdet.evaluation.polygons import FloatPolygons, Outlines

HEIGHT, WIDTH = 40, 50


@st.composite
def polygons(draw):
    """Draw a mask of one to three polygons, also beyond the image, thin or without area."""
    near = st.floats(-60, 120) | st.integers(-20, 60) | st.integers(-40, 100).map(lambda x: x / 2)
    one = st.lists(near, min_size=6, max_size=14).map(lambda each: each[: len(each) // 2 * 2])
    return draw(st.lists(one, min_size=1, max_size=3))


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.lists(polygons(), min_size=1, max_size=4), st.data())
def test_outlines_bound_their_pixels(values, data):
    """The masks drawn together are those of pycocotools, and no higher than said."""
    is_needed = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))
    )
    sizes = np.array([(HEIGHT, WIDTH), (WIDTH, HEIGHT), (HEIGHT, WIDTH), (20, 20)][: len(values)])
    outlines = Outlines(values, sizes)
    for number, rle in enumerate(outlines.drawn(is_needed)):
        if not is_needed[number]:
            assert rle == {}
            continue
        size = sizes[number].tolist()
        assert rle == mask_tools.merge(mask_tools.frPyObjects(values[number], *size))
        rows = np.flatnonzero(mask_tools.decode(rle).any(axis=1))
        if len(rows):
            assert rows[-1] + 1 - rows[0] <= outlines.heights[number]
    floats = FloatPolygons([[float(each) for each in one] for one in value] for value in values)
    assert Outlines(floats, sizes).drawn(is_needed) == outlines.drawn(is_needed)


def test_heights_of_masks_of_any_kind():
    square = [[5.0, 5, 20, 5, 20, 30, 5, 30]]
    rle = mask_tools.merge(mask_tools.frPyObjects(square, HEIGHT, WIDTH))
    runs = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}
    found = prepared([square, rle, square], [(HEIGHT, WIDTH)] * 3, ["mask"] * 3)
    assert found.height.tolist() == [27, HEIGHT, 27]
    assert found.area.tolist() == [375] * 3
    found = prepared([square, runs], [(HEIGHT, WIDTH)] * 2, ["mask"] * 2)  # one by one
    assert found.height.tolist() == [HEIGHT] * 2
    found = prepared([square, rle], [(HEIGHT, WIDTH)] * 2, ["mask"] * 2, np.array([False, True]))
    assert found.area.tolist() == [0, 375]


@pytest.mark.parametrize("pairs", [0, 4, 40, 10**6])
@pytest.mark.parametrize("kind", ["polygons", "encoded", "both"])
def test_groups_of_one_call_do_not_mix(monkeypatch, pairs, kind):
    """Many small groups with masks at the same places, of images of two sizes."""
    monkeypatch.setattr(mask_overlaps, "PAIRS_OF_A_CALL", pairs)
    rng = np.random.default_rng(pairs)
    sizes = {image: (90, 90 + 30 * (image % 2)) for image in range(1, 13)}

    def polygon(box):
        x, y, w, h = box
        return [[x, y, x + w, y, x + w, y + h, x, y + h]]

    annotations, rows = [], []
    for number in range(60):
        image, category = int(rng.integers(1, 13)), int(rng.integers(1, 4))
        box = [float(each) for each in (*rng.integers(0, 30, 2), *rng.integers(20, 50, 2))]
        own = dict(image_id=image, category_id=category)
        mask = polygon(box)
        if kind == "encoded" or (kind == "both" and number % 2):
            mask = encoded(mask, sizes[image])
        annotations.append(
            {
                **own,
                "id": number + 1,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": int(number % 9 == 0),
                "segmentation": mask,
            }
        )
        for shift in rng.normal(0, 4, (int(rng.integers(0, 4)), 4)):
            moved = np.maximum(np.array(box) + shift, 1).tolist()
            mask = encoded(polygon(moved), sizes[image])
            rows.append({**own, "score": float(rng.random()), "segmentation": mask})
    truth = {
        "images": [{"id": i, "height": h, "width": w} for i, (h, w) in sizes.items()],
        "categories": [{"id": i, "name": str(i)} for i in (1, 2, 3)],
        "annotations": annotations,
    }
    metrics = evaluate(truth, rows, "segm")
    assert differences(metrics, truth, rows, "segm") == []
    assert metrics.numbers["AP50"] > 0.3


def encoded(polygons, size):
    rle = mask_tools.merge(mask_tools.frPyObjects(polygons, *size))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}
