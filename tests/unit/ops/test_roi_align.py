"""RoIAlign: compiled mmcv's values and gradients, the definition, and sums in a fixed order."""

import itertools
import math

import mmcv.ops
import pytest
import torch

from rankdet.errors import InputError
from rankdet.ops import roi_align as plain

SHAPE = (2, 5, 20, 31)


def rois_of(count, scale, generator, dtype=torch.float32):
    """RoIs [count, 5] inside, across and outside of the image; some without area."""
    centers = (torch.rand(count, 2, generator=generator) * 40 - 5) / scale
    sizes = torch.rand(count, 2, generator=generator) * 30 / scale
    sizes[: count // 10] = 0
    sizes[count // 10 : count // 5, 0] = 0
    image = torch.randint(SHAPE[0], (count, 1), generator=generator)
    return torch.cat((image, centers - sizes / 2, centers + sizes / 2), 1).to(dtype)


def both_ways(functions, features, rois, grads, **settings):
    """Output, the two places of the maximum, and the gradient of the features."""
    output, *places = (torch.full_like(grads, 7) for _ in range(3))
    functions.roi_align_forward(features, rois, output, *places, **settings)
    of_features = torch.zeros_like(features)
    functions.roi_align_backward(grads, rois, *places, of_features, **settings)
    return output, *places, of_features


def assert_close(found, wanted):
    """Equal to 1e-5 of the largest value (1e-12 in float64); the sums differ in their order."""
    tolerance = 1e-12 if wanted.dtype == torch.float64 else 1e-5
    torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance * float(wanted.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("pool_mode", [0, 1])
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 2, 5])
def test_values_and_gradients_of_compiled_mmcv(
    ours, compiled, dtype, pool_mode, aligned, sampling_ratio
):
    generator = torch.Generator().manual_seed(sampling_ratio)
    cases = itertools.product((1.0, 0.25, 1 / 3), ((7, 7), (1, 3)), (5, 1))
    for scale, (high, wide), channels in cases:
        features = torch.randn(2, channels, *SHAPE[2:], generator=generator).to(dtype)
        rois = rois_of(60, scale, generator, dtype)
        grads = torch.randn(60, channels, high, wide, generator=generator).to(dtype)
        settings = dict(
            aligned_height=high, aligned_width=wide, spatial_scale=scale,
            sampling_ratio=sampling_ratio, pool_mode=pool_mode, aligned=aligned,
        )  # fmt: skip
        wanted, *their_places, their_gradient = both_ways(
            compiled, features, rois, grads, **settings
        )
        found, *places, gradient = both_ways(ours, features, rois, grads, **settings)
        assert_close(gradient, their_gradient)
        if pool_mode == 1:
            assert_close(found, wanted)
            continue
        for ours_, theirs in zip((found, *places), (wanted, *their_places), strict=True):
            torch.testing.assert_close(ours_, theirs, rtol=1e-5, atol=1e-5)


def by_definition(features, roi, bins, sampling_ratio, aligned):
    """The means of one RoI, sample by sample, for features [H, W]."""
    height, width = features.shape
    shift = 0.5 if aligned else 0
    x1, y1, x2, y2 = (value - shift for value in roi)
    high, wide = ((y2 - y1) / bins, (x2 - x1) / bins)
    if not aligned:
        high, wide = max(y2 - y1, 1) / bins, max(x2 - x1, 1) / bins
    rows, columns = (sampling_ratio or math.ceil(side) for side in (high, wide))
    means = torch.zeros(bins, bins, dtype=features.dtype)
    for i, j in itertools.product(range(bins), repeat=2):
        for m, n in itertools.product(range(rows), range(columns)):
            y = y1 + (i + (m + 0.5) / rows) * high
            x = x1 + (j + (n + 0.5) / columns) * wide
            if -1 <= y <= height and -1 <= x <= width:
                means[i, j] += between_pixels(features, y, x) / (rows * columns)
    return means


def between_pixels(features, y, x):
    """Bilinear; outside of the outer pixels' centers their values go on."""
    height, width = features.shape
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    total = 0
    for row, column in itertools.product(range(height), range(width)):
        total += max(1 - abs(y - row), 0) * max(1 - abs(x - column), 0) * features[row, column]
    return total


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_the_definition_sample_by_sample(ours, sampling_ratio, aligned):
    generator = torch.Generator().manual_seed(5)
    features = torch.randn(1, 1, 6, 5, generator=generator, dtype=torch.float64)
    corners = torch.rand(12, 2, generator=generator, dtype=torch.float64) * 6 - 2
    sizes = torch.rand(12, 2, generator=generator, dtype=torch.float64) * 6
    rois = torch.cat((torch.zeros(12, 1), corners, corners + sizes), 1)
    output, places = features.new_zeros(12, 1, 3, 3), features.new_zeros(0)
    ours.roi_align_forward(
        features, rois, output, places, places, 3, 3, 1.0, sampling_ratio, 1, aligned
    )
    for roi, found in zip(rois, output, strict=True):
        wanted = by_definition(features[0, 0], roi[1:].tolist(), 3, sampling_ratio, aligned)
        torch.testing.assert_close(found[0], wanted)


@pytest.mark.parametrize("pool_mode", [0, 1])
def test_samples_up_to_a_pixel_outside_count(ours, pool_mode):
    """One sample in the center of each RoI: at -1 and at the size it still counts."""
    features = torch.arange(1.0, 31).view(1, 1, 6, 5)
    centers = [(-1.0, -1.0), (5.0, 6.0), (-1.001, 3.0), (3.0, 6.001)]  # x, y
    rois = torch.tensor([[0, x - 1, y - 1, x + 1, y + 1] for x, y in centers])
    output, *places = (torch.zeros(4, 1, 1, 1) for _ in range(3))
    ours.roi_align_forward(features, rois, output, *places, 1, 1, 1.0, 1, pool_mode, False)
    assert output.flatten().tolist() == [1, 30, 0, 0]


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("aligned", [True, False])
def test_the_gradient_is_the_derivative(ours, through_mmcv, mode, aligned):
    through_mmcv("roi_align", ours)
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(2, 2, 8, 7, generator=generator, dtype=torch.float64)
    rois = torch.tensor([[0.0, 1, 2, 11, 13], [1, -3, 0, 9, 20], [1, 4, 4, 5, 5]]).double()

    def pool(values):
        return mmcv.ops.roi_align(values, rois, (2, 3), 0.5, 0, mode, aligned)

    assert torch.autograd.gradcheck(pool, features.requires_grad_())


def test_masks_are_cropped_as_by_compiled_mmcv(ours, compiled):
    """mmdet's mask targets: one channel, one RoI for each image, 28 x 28 bins, any size of box."""
    generator = torch.Generator().manual_seed(4)
    masks = (torch.rand(9, 1, 90, 130, generator=generator) > 0.5).float()
    sides = torch.logspace(0, 2, 9)[:, None] * torch.tensor([1.2, 0.8])
    corners = torch.rand(9, 2, generator=generator) * 10
    rois = torch.cat((torch.arange(9.0)[:, None], corners, corners + sides), 1)
    results = []
    for functions in (compiled, ours):
        output = masks.new_zeros(9, 1, 28, 28)
        functions.roi_align_forward(
            masks, rois, output, masks.new_zeros(0), masks.new_zeros(0), aligned_height=28,
            aligned_width=28, spatial_scale=1.0, sampling_ratio=0, pool_mode=1, aligned=True,
        )  # fmt: skip
        results.append(output)
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-6)


def test_the_number_of_samples_is_counted_in_single_precision(ours, compiled):
    """A bin of 1 + 1e-12 pixels has one sample, not two, also in float64."""
    features = torch.randn(1, 1, 9, 9, generator=torch.Generator().manual_seed(1)).double()
    rois = torch.tensor([[0, 1, 1, 4 + 3e-12, 4 + 3e-12]], dtype=torch.float64)
    settings = dict(
        aligned_height=3, aligned_width=3, spatial_scale=1.0, sampling_ratio=0, pool_mode=1,
        aligned=True,
    )  # fmt: skip
    grads = features.new_ones(1, 1, 3, 3)
    wanted = both_ways(compiled, features, rois, grads, **settings)
    found = both_ways(ours, features, rois, grads, **settings)
    torch.testing.assert_close(found[0], wanted[0])
    torch.testing.assert_close(found[3], wanted[3])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("pool_mode", [0, 1])
def test_parts_of_the_matrix_give_the_same(monkeypatch, pool_mode, channels):
    generator = torch.Generator().manual_seed(6)
    features = torch.randn(2, channels, *SHAPE[2:], generator=generator, dtype=torch.float64)
    rois = rois_of(30, 0.5, generator, torch.float64)
    grads = torch.randn(30, channels, 3, 3, generator=generator, dtype=torch.float64)
    arguments = (3, 3, 0.5, 0, pool_mode, True)
    settings = dict(zip(
        ("aligned_height", "aligned_width", "spatial_scale", "sampling_ratio", "pool_mode",
         "aligned"), arguments, strict=True,
    ))  # fmt: skip
    whole = both_ways(plain, features, rois, grads, **settings)
    monkeypatch.setattr(plain, "_MOST_ENTRIES", 1)
    for found, wanted in zip(
        both_ways(plain, features, rois, grads, **settings), whole, strict=True
    ):
        torch.testing.assert_close(found, wanted)


def test_gradients_are_added_to_what_is_there_and_are_bit_equal_each_time(ours):
    generator = torch.Generator().manual_seed(7)
    rois = rois_of(200, 1.0, generator)
    grads = torch.randn(200, SHAPE[1], 4, 4, generator=generator)
    none = grads.new_zeros(0)
    sums = [torch.zeros(SHAPE) for _ in range(3)]
    sums[2] += 1
    for gradient in sums:
        ours.roi_align_backward(grads, rois, none, none, gradient, 4, 4, 1.0, 0, 1, True)
    assert torch.equal(sums[0], sums[1])
    torch.testing.assert_close(sums[2], sums[0] + 1)


def test_memory_formats_give_the_same(ours):
    generator = torch.Generator().manual_seed(8)
    features = torch.randn(SHAPE, generator=generator)
    rois = rois_of(20, 1.0, generator)
    results = []
    for memory in (torch.contiguous_format, torch.channels_last):
        output = torch.zeros(20, SHAPE[1], 4, 4)
        none = torch.zeros(0)
        ours.roi_align_forward(
            features.contiguous(memory_format=memory),
            rois,
            output,
            none,
            none,
            4,
            4,
            1.0,
            0,
            1,
            True,
        )
        results.append(output)
    assert torch.equal(*results)


def test_no_rois(ours, through_mmcv):
    through_mmcv("roi_align", ours)
    features = torch.randn(SHAPE, requires_grad=True)
    pooled = mmcv.ops.roi_align(features, torch.zeros(0, 5), (3, 3))
    pooled.sum().backward()
    assert pooled.shape == (0, SHAPE[1], 3, 3) and not features.grad.any()


@pytest.mark.parametrize("corner", [1.0, float("nan")])
def test_a_size_that_is_negative_or_undefined_is_refused(ours, through_mmcv, corner):
    through_mmcv("roi_align", ours)
    rois = torch.tensor([[0.0, 0, 0, 5, 5], [0, 2, 2, corner, 5]])
    with pytest.raises(InputError, match="x2 >= x1"):
        mmcv.ops.roi_align(torch.zeros(SHAPE), rois, (3, 3))


def test_half_precision_is_summed_in_single(through_mmcv):
    through_mmcv("roi_align", plain)
    features = torch.randn(SHAPE, generator=torch.Generator().manual_seed(9)).half()
    rois = torch.tensor([[0.0, 1, 2, 17, 15]])
    found = mmcv.ops.roi_align(features, rois.half(), (3, 3))
    wanted = mmcv.ops.roi_align(features.double(), rois.double(), (3, 3))
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.double(), wanted, rtol=1e-3, atol=1e-4)
