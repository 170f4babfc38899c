"""CARAFE without mmcv's kernel: against its definition, with mmcv's parameters."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict

import rankdet.models  # noqa: F401
from rankdet.errors import InputError
from rankdet.models.carafe import AnyDeviceCarafe, reassemble

UPSAMPLE = dict(
    type="carafe",
    up_kernel=5,
    up_group=1,
    encoder_kernel=3,
    encoder_dilation=1,
    compressed_channels=8,
)


def by_definition(features, kernels, size, groups, scale):
    """Equation 2 of the paper, pixel by pixel."""
    batch, channels, height, width = features.shape
    result = torch.zeros(batch, channels, scale * height, scale * width, dtype=features.dtype)
    radius = size // 2
    for channel in range(channels):
        group = channel // (channels // groups)
        for y in range(scale * height):
            for x in range(scale * width):
                for n in range(-radius, radius + 1):
                    for m in range(-radius, radius + 1):
                        row, column = y // scale + n, x // scale + m
                        if 0 <= row < height and 0 <= column < width:
                            place = group * size**2 + (n + radius) * size + m + radius
                            pixel = features[:, channel, row, column]
                            result[:, channel, y, x] += kernels[:, place, y, x] * pixel
    return result


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize(("groups", "scale"), [(1, 2), (2, 2), (2, 3)])
def test_values_and_gradients_are_those_of_the_definition(size, groups, scale):
    generator = torch.Generator().manual_seed(size)
    features = torch.randn(2, 4, 3, 4, generator=generator, dtype=torch.float64)
    kernels = torch.rand(
        2, groups * size**2, 3 * scale, 4 * scale, generator=generator, dtype=torch.float64
    )
    weights = torch.randn(2, 4, 3 * scale, 4 * scale, generator=generator, dtype=torch.float64)
    found = []
    for function in (reassemble, by_definition):
        leaves = [features.clone().requires_grad_(), kernels.clone().requires_grad_()]
        value = function(*leaves, size, groups, scale)
        (value * weights).sum().backward()
        found.append((value.detach(), *(leaf.grad for leaf in leaves)))
    for ours, wanted in zip(*found, strict=True):
        torch.testing.assert_close(ours, wanted)


def test_equal_weights_are_a_box_filter_and_one_weight_is_nearest_neighbour():
    features = torch.randn(1, 2, 4, 4)
    kernels = torch.zeros(1, 9, 8, 8)
    kernels[:, 4] = 1
    wanted = torch.nn.functional.interpolate(features, scale_factor=2)
    torch.testing.assert_close(reassemble(features, kernels, 3, 1, 2), wanted)


def test_the_result_is_contiguous_for_mmcvs_roi_align():
    assert reassemble(torch.randn(2, 4, 3, 5), torch.rand(2, 25, 6, 10), 5, 1, 2).is_contiguous()


@pytest.mark.parametrize(
    ("channels", "kernels", "size", "groups"),
    [(4, (1, 16, 4, 4), 4, 1), (3, (1, 18, 4, 4), 3, 2), (4, (1, 9, 4, 6), 3, 1)],
)
def test_shapes_that_do_not_fit_are_named(channels, kernels, size, groups):
    with pytest.raises(InputError, match="an odd window"):
        reassemble(torch.zeros(1, channels, 2, 2), torch.zeros(kernels), size, groups, 2)


def neck(kind):
    config = dict(
        type=kind,
        in_channels=[4, 8, 16, 32],
        out_channels=8,
        num_outs=5,
        start_level=0,
        end_level=-1,
        norm_cfg=None,
        act_cfg=None,
        order=("conv", "norm", "act"),
        upsample_cfg=UPSAMPLE,
    )
    return MODELS.build(ConfigDict(config))


def test_the_neck_has_mmdets_parameters():
    shapes = [
        {name: value.shape for name, value in neck(kind).state_dict().items()}
        for kind in ("FPN_CARAFE", "AnyDeviceFPNCarafe")
    ]
    assert shapes[0] == shapes[1] and len(shapes[0]) > 20


def test_the_neck_runs_and_learns_on_the_cpu_at_sizes_that_do_not_halve_evenly():
    module = neck("AnyDeviceFPNCarafe")
    module.init_weights()
    sides = [(24, 40), (12, 20), (6, 10), (3, 5)]
    inputs = [torch.randn(2, 4 * 2**i, *side) for i, side in enumerate(sides)]
    outputs = module(inputs)
    assert [tuple(level.shape) for level in outputs] == [
        *((2, 8, *side) for side in sides),
        (2, 8, 2, 3),
    ]
    sum(level.square().sum() for level in outputs).backward()
    assert all(value.grad is not None and value.grad.isfinite().all()
               for value in module.parameters())  # fmt: skip


@pytest.mark.skipif(not torch.cuda.is_available(), reason="mmcv's CARAFE kernel runs on a GPU only")
def test_mmcvs_kernel_gives_the_same_on_a_gpu():
    module = AnyDeviceCarafe(8, 2, up_group=2).cuda()
    features = torch.randn(2, 8, 12, 16, device="cuda", requires_grad=True)
    kernels = module.kernel_normalizer(module.content_encoder(module.channel_compressor(features)))
    theirs = module.feature_reassemble(features, kernels)
    ours = reassemble(features, kernels, 5, 2, 2)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    gradients = [torch.autograd.grad(value.square().sum(), (features, kernels), retain_graph=True)
                 for value in (ours, theirs)]  # fmt: skip
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
