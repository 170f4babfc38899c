"""Run-length codes: areas are those of pycocotools, whatever the shape and the batch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_tools

from rankdet.evaluation import masks as masks_module
from rankdet.evaluation.masks import checked_masks


def encode(mask):
    code = mask_tools.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": code["size"], "counts": code["counts"].decode()}


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 90), st.integers(1, 90))
def test_areas_of_random_masks(seed, height, width):
    rng = np.random.default_rng(seed)
    masks = [rng.random((height, width)) < share for share in (0, 0.02, 0.5, 0.97, 1)]
    rles = [encode(mask) for mask in masks]
    _, area = checked_masks(rles, [(height, width)] * 5, ["mask"] * 5)
    assert area.tolist() == [mask.sum() for mask in masks]


def test_batches(monkeypatch):
    rng = np.random.default_rng(0)
    masks = [rng.random((60, 60)) < share for share in rng.random(40)]
    texts = [encode(mask)["counts"] for mask in masks]
    texts[::2] = [text.encode() for text in texts[::2]]
    expected = [mask.sum() for mask in masks]
    for characters in (1, 1000, 10**6):
        monkeypatch.setattr(masks_module, "CHARACTERS_AT_ONCE", characters)
        assert masks_module.pixel_counts(texts, [3600] * 40, ["mask"] * 40).tolist() == expected


def test_long_runs():
    mask = np.zeros((3000, 4000), dtype=bool)
    mask[1000:, 3000:] = True
    assert checked_masks([encode(mask)], [(3000, 4000)], ["mask"])[1][0] == 2_000_000


@pytest.mark.parametrize(
    "polygons",
    [
        [[5, 5, 50, 5, 50, 50, 5, 50]],
        [[5.5, 5, 50, 9, 30, 50], [40, 40, 80, 40, 80, 80, 40, 80]],
    ],
)
def test_polygons_as_in_pycocotools(polygons):
    rles, area = checked_masks([polygons], [(100, 100)], ["mask"])
    expected = mask_tools.merge(mask_tools.frPyObjects(polygons, 100, 100))
    assert rles[0]["counts"] == expected["counts"]
    assert area[0] == mask_tools.area(expected)


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # within pycocotools
def test_uncompressed_runs():
    rles, area = checked_masks([{"size": [4, 5], "counts": [6, 8, 2, 4]}], [(0, 0)], ["mask"])
    assert area[0] == 12
    assert mask_tools.decode(rles[0]).T.ravel().tolist() == [0] * 6 + [1] * 8 + [0] * 2 + [1] * 4
