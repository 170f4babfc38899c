"""Encoded runs of many masks at once: what a decoder of one mask after the other finds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_tools

from rankdet.errors import InputError
from rankdet.evaluation import masks
from rankdet.evaluation.masks import LONGEST_COUNT, prepared

PROBLEMS = {
    "empty": "an empty string of counts",
    "foreign": "counts with an invalid character",
    "truncated": "truncated counts",
    "long": "a count that is too long",
    "negative": "a negative run",
    "sum": "runs that do not add up to the image",
}


def decoded(text, pixels):
    """Return the runs of one mask, or the problem."""
    if not text:
        return "empty"
    codes = [ord(character) - 48 for character in text]
    if any(not 0 <= code < 64 for code in codes):
        return "foreign"
    if codes[-1] & 32:
        return "truncated"
    numbers, part = [], []
    for code in codes:
        part.append(code)
        if not code & 32:
            number = sum((each & 31) << 5 * place for place, each in enumerate(part))
            numbers.append(number - (1 << 5 * len(part)) * bool(code & 16))
            if len(part) > LONGEST_COUNT:
                return "long"
            part = []
    runs = []
    for place, number in enumerate(numbers):
        runs.append(number + (runs[place - 2] if place > 2 else 0))
    if min(runs) < 0:
        return "negative"
    return runs if sum(runs) == pixels else "sum"


def encoded(runs):
    """Return the text of any integers as runs, also of those that are no runs of a mask."""
    text = ""
    for place, run in enumerate(runs):
        number = run - (runs[place - 2] if place > 2 else 0)
        while True:
            low, number = number & 31, number >> 5
            more = number != (-1 if low & 16 else 0)
            text += chr(48 + low + 32 * more)
            if not more:
                break
    return text


def check(texts, height, width):
    """Compare masks decoded together with masks decoded one by one."""
    results = [decoded(text, height * width) for text in texts]
    rows = [{"size": [height, width], "counts": text} for text in texts]
    names = [f"mask {number}" for number in range(len(texts))]
    sizes = [(height, width)] * len(texts)
    if not all(isinstance(result, list) for result in results):
        with pytest.raises(InputError) as caught:
            prepared(rows, sizes, names)
        if len(texts) == 1:
            assert PROBLEMS[results[0]] in caught.value.got
        named = int(caught.value.got.rpartition(" ")[2])
        assert PROBLEMS[results[named]] in caught.value.got
        return False
    found = prepared(rows, sizes, names)
    for number, runs in enumerate(results):
        ends = np.cumsum(runs)
        foreground = list(range(1, len(runs), 2))
        assert found.area[number] == sum(runs[place] for place in foreground)
        if foreground:
            assert found.left[number] == ends[0] // height
            last = ends[foreground[-1]]
            # A run without pixels at the end may stand behind the last pixel.
            assert found.right[number] >= -(-int(last) // height)
            assert found.right[number] <= width
    return True


@st.composite
def runs_of(draw, pixels):
    """Draw runs of a mask, with runs of no pixels among them."""
    cuts = sorted(draw(st.lists(st.integers(0, pixels), max_size=9)))
    return [stop - start for start, stop in zip([0, *cuts], [*cuts, pixels], strict=True)]


TALL, WIDE = 5, 3000  # runs of one character and of three


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(st.lists(runs_of(TALL * WIDE), min_size=1, max_size=6), st.sampled_from([1, 20, 10**6]))
def test_masks(every, at_once):
    texts = [encoded(runs) for runs in every]
    assert [decoded(text, TALL * WIDE) for text in texts] == every
    previous, masks.CHARACTERS_AT_ONCE = masks.CHARACTERS_AT_ONCE, at_once
    try:
        assert check(texts, TALL, WIDE)
    finally:
        masks.CHARACTERS_AT_ONCE = previous


@settings(max_examples=600, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_damaged_masks(data):
    """Any integers as runs, and texts with characters changed, among good ones."""
    pixels = TALL * WIDE
    integers = st.integers(-40, 40) | st.integers(-(2**29), 2**29 - 1) | st.just(pixels)
    bad = st.lists(integers, min_size=1, max_size=6).map(encoded)
    changed = st.builds(
        lambda runs, place, piece: encoded(runs)[:place] + piece + encoded(runs)[place + 1 :],
        runs_of(pixels),
        st.integers(0, 8),
        st.text(st.sampled_from("0?@OPQo~/"), max_size=8),
    )
    good = runs_of(pixels).map(encoded)
    texts = data.draw(st.lists(st.one_of(good, bad, changed), min_size=1, max_size=4))
    check(texts, TALL, WIDE)


def test_both_outcomes_occur():
    assert check([encoded([3, 4, TALL * WIDE - 7])], TALL, WIDE)
    for text in ("", "~", "P", "PPPPPPP0", encoded([3, -4]), encoded([3, 4])):
        assert not check([encoded([TALL * WIDE]), text], TALL, WIDE)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 2**32 - 1))
def test_columns_of_real_masks(seed):
    """Left and right bound the box of pycocotools, which decides what is compared."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 40, 2).tolist()
    pixels = [rng.random((height, width)) < share for share in (0, 0.01, 0.1, 0.9, 1)]
    rows = [mask_tools.encode(np.asfortranarray(each.astype(np.uint8))) for each in pixels]
    sizes = [(height, width)] * len(rows)
    found = prepared(rows, sizes, ["mask"] * len(rows))
    for number, each in enumerate(pixels):
        assert found.area[number] == each.sum()
        if each.any():
            columns = np.flatnonzero(each.any(axis=0))
            assert (found.left[number], found.right[number]) == (columns[0], columns[-1] + 1)
