"""SSD's color distortion without mmdet 3.3's clipping."""

import colorsys

import numpy as np
import pytest

from rankdet.models.data import Distortion, SsdPhotometricDistortion, distort

IMAGE = np.random.default_rng(0).uniform(0, 255, (6, 5, 3)).astype(np.float32)


def by_hand(saturation, hue):
    """The same pixels through the standard library, which works in RGB and turns of 1."""
    found = np.empty_like(IMAGE)
    for place in np.ndindex(IMAGE.shape[:2]):
        blue, green, red = (float(value) for value in IMAGE[place])
        turn, share, value = colorsys.rgb_to_hsv(red, green, blue)
        share, turn = share * saturation, (turn + hue / 360) % 1
        # hsv_to_rgb is linear in the saturation: beyond 1 it goes on below 0.
        found[place] = colorsys.hsv_to_rgb(turn, share, value)[::-1]
    return found


@pytest.mark.parametrize(("saturation", "hue"), [(1.5, 0.0), (0.5, 17.0), (1.3, -18.0)])
def test_saturation_beyond_one_is_not_clipped(saturation, hue):
    ours = distort(IMAGE, Distortion(saturation=saturation, hue=hue))
    np.testing.assert_allclose(ours, by_hand(saturation, hue), atol=0.02)
    if saturation > 1:
        assert ours.min() < -1  # clipped, the lowest channel of a saturated pixel would be 0


def test_brightness_contrast_and_order():
    np.testing.assert_allclose(distort(IMAGE, Distortion(brightness=10.0)), IMAGE + 10, atol=0.01)
    for first in (True, False):
        ours = distort(IMAGE, Distortion(contrast=1.5, contrast_first=first))
        np.testing.assert_allclose(ours, IMAGE * 1.5, atol=0.02)
    swapped = distort(IMAGE, Distortion(order=np.array([2, 0, 1])))
    np.testing.assert_allclose(swapped, IMAGE[..., [2, 0, 1]], atol=0.01)


@pytest.mark.parametrize("seed", range(12))
def test_numbers_are_drawn_when_they_are_needed(seed):
    """mmdet 2 draws a coin, then the number it allows; later transforms depend on the count."""
    draw = np.random.RandomState(seed)
    expected = {"brightness": draw.uniform(-32, 32) if draw.randint(2) else None}
    expected["contrast_first"] = draw.randint(2) == 1
    order = ["saturation", "hue"]
    order.insert(0 if expected["contrast_first"] else 2, "contrast")
    ranges = {"contrast": (0.5, 1.5), "saturation": (0.5, 1.5), "hue": (-18, 18)}
    for name in order:
        expected[name] = draw.uniform(*ranges[name]) if draw.randint(2) else None
    permutation = draw.permutation(3) if draw.randint(2) else None
    transform = SsdPhotometricDistortion()
    np.random.seed(seed)
    found = transform.draw()
    assert {name: getattr(found, name) for name in expected} == expected
    np.testing.assert_array_equal(found.order, permutation)
    assert np.random.uniform() == draw.uniform()


def test_without_swap_channels_stay_in_place():
    transform = SsdPhotometricDistortion(swap=False)
    assert {transform.draw().order for _ in range(40)} == {None}


def test_the_image_before_is_left_alone():
    before = IMAGE.copy()
    transform = SsdPhotometricDistortion()
    np.random.seed(1)
    found = transform({"img": before})
    assert found["img"].dtype == np.float32 and not np.array_equal(found["img"], IMAGE)
    np.testing.assert_array_equal(before, IMAGE)
