"""Deformable convolutions: compiled mmcv's values and gradients, and ordinary convolutions."""

from dataclasses import dataclass

import mmcv.ops
import pytest
import torch
import torch.nn.functional as F

from rankdet.errors import InputError


@dataclass(frozen=True)
class Case:
    """Settings of a convolution; pairs are (along y, along x)."""

    kernel: tuple = (3, 3)
    stride: tuple = (1, 1)
    padding: tuple = (1, 1)
    dilation: tuple = (1, 1)
    groups: int = 1
    deform_groups: int = 1
    channels: int = 12
    out: int = 12

    @property
    def outputs(self):
        return tuple(
            (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for side, padding, dilation, kernel, stride in zip(
                (9, 11), self.padding, self.dilation, self.kernel, self.stride, strict=True
            )
        )

    def tensors(self, dtype, modulated, seed=0):
        """Input, offset, mask, weight, bias and the output's gradient, for four images.

        The first image's offsets are integers, as at the start of a training.
        """
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape):
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        places = self.deform_groups * self.kernel[0] * self.kernel[1]
        offset = 3 * normal(4, 2 * places, *self.outputs)
        offset[0] = offset[0].round()
        found = dict(
            input=normal(4, self.channels, 9, 11),
            offset=offset,
            mask=normal(4, places, *self.outputs).sigmoid() if modulated else None,
            weight=normal(self.out, self.channels // self.groups, *self.kernel),
            bias=normal(self.out) if modulated else None,
            grads=normal(4, self.out, *self.outputs),
        )
        return {name: value if value is None else value.to(dtype) for name, value in found.items()}


CASES = [
    Case(),
    Case(stride=(2, 2), deform_groups=4),
    Case(kernel=(3, 2), stride=(1, 2), padding=(2, 1), dilation=(2, 1), groups=2),
    Case(kernel=(1, 3), padding=(0, 2), dilation=(1, 2), groups=4, deform_groups=2),
    Case(groups=2, deform_groups=4),
    Case(groups=3, deform_groups=2, out=6),
    Case(kernel=(1, 1), padding=(0, 0), groups=12),
]


def run(through_mmcv, functions, case, tensors):
    """Output and gradients, through mmcv's own autograd functions."""
    through_mmcv("deform_conv", functions)
    through_mmcv("modulated_deform_conv", functions)
    names = [name for name, value in tensors.items() if value is not None and name != "grads"]
    leaves = {name: tensors[name].clone().requires_grad_() for name in names}
    output = convolve(case, **leaves)
    gradients = torch.autograd.grad(output, list(leaves.values()), tensors["grads"])
    return {"output": output.detach()} | dict(zip(names, gradients, strict=True))


def convolve(case, input, offset, weight, mask=None, bias=None):
    settings = (case.stride, case.padding, case.dilation, case.groups, case.deform_groups)
    if mask is None:
        return mmcv.ops.deform_conv2d(input, offset, weight, *settings, False, 2)
    return mmcv.ops.modulated_deform_conv2d(input, offset, mask, weight, bias, *settings)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("modulated", [True, False])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients_of_compiled_mmcv(
    ours, compiled, through_mmcv, case, modulated, dtype
):
    tensors = case.tensors(dtype, modulated)
    wanted = run(through_mmcv, compiled, case, tensors)
    found = run(through_mmcv, ours, case, tensors)
    assert found.keys() == wanted.keys() and len(found) == (6 if modulated else 4)
    for name, value in wanted.items():
        largest = float(value.abs().max())
        tolerance = (1e-12 if dtype == torch.float64 else 1e-5) * largest
        torch.testing.assert_close(found[name], value, rtol=0, atol=tolerance, msg=name)


@pytest.mark.parametrize("modulated", [True, False])
@pytest.mark.parametrize("case", [CASES[1], CASES[3], CASES[5]], ids=str)
def test_gradients_are_derivatives(ours, through_mmcv, case, modulated):
    through_mmcv("deform_conv", ours)
    through_mmcv("modulated_deform_conv", ours)
    tensors = case.tensors(torch.float64, modulated, seed=1)
    tensors["offset"][0] += 0.4  # bilinear values have a kink at each pixel
    names = [name for name, value in tensors.items() if value is not None and name != "grads"]
    leaves = [tensors[name].requires_grad_() for name in names]

    def function(*values):
        return convolve(case, **dict(zip(names, values, strict=True)))

    assert torch.autograd.gradcheck(function, leaves, fast_mode=True)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_without_offsets_it_is_a_convolution(ours, through_mmcv, case):
    tensors = case.tensors(torch.float64, modulated=True)
    tensors["offset"].zero_()
    tensors["mask"].fill_(0.5)
    found = run(through_mmcv, ours, case, tensors)
    leaves = [tensors[name].clone().requires_grad_() for name in ("input", "weight", "bias")]
    halved = F.conv2d(
        leaves[0], leaves[1] / 2, leaves[2], case.stride, case.padding, case.dilation, case.groups
    )
    torch.testing.assert_close(found["output"], halved.detach())
    wanted = torch.autograd.grad(halved, leaves, tensors["grads"])
    for name, value in zip(("input", "weight", "bias"), wanted, strict=True):
        torch.testing.assert_close(found[name], value)


def test_offsets_of_one_pixel_move_the_image(ours, through_mmcv):
    case = CASES[0]
    tensors = case.tensors(torch.float64, modulated=False)
    tensors["offset"].zero_()[:, 1::2] = 1  # every place reads one pixel further right
    found = run(through_mmcv, ours, case, tensors)
    moved = F.pad(tensors["input"], (0, 1))[..., 1:]
    # The padding on the left is now a pixel of the image.
    wanted = F.conv2d(F.pad(moved, (0, 1, 1, 1)), tensors["weight"])
    torch.testing.assert_close(found["output"][..., 1:], wanted)


def test_gradients_are_added_to_what_is_there(ours, compiled):
    """The weights' times a factor; that of the offsets is written."""
    case, found = CASES[4], []
    tensors = case.tensors(torch.float64, modulated=False)
    settings = dict(kW=3, kH=3, dW=1, dH=1, padW=1, padH=1, dilationW=1, dilationH=1)
    settings |= dict(group=case.groups, deformable_group=case.deform_groups, im2col_step=2)
    input, offset, weight = (tensors[name] for name in ("input", "offset", "weight"))
    none = input.new_empty(0)
    for functions in (compiled, ours):
        results = [torch.full_like(each, 3) for each in (input, offset, weight)]
        functions.deform_conv_backward_input(
            input, offset, tensors["grads"].clone(), *results[:2], weight, none, **settings
        )
        functions.deform_conv_backward_parameters(
            input, offset, tensors["grads"].clone(), results[2], none, none, scale=0.5, **settings
        )
        found.append(results)
    for theirs, ours_ in zip(*found, strict=True):
        torch.testing.assert_close(ours_, theirs)


def test_gradients_are_bit_equal_each_time(ours, through_mmcv):
    case = Case(deform_groups=2)
    tensors = case.tensors(torch.float32, modulated=True)
    first, second = (run(through_mmcv, ours, case, tensors) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_offsets_that_are_not_finite_read_nothing(ours, compiled, through_mmcv):
    case = Case()
    tensors = case.tensors(torch.float32, modulated=True)
    for index, value in enumerate((float("nan"), float("inf"), float("-inf"), 1e30)):
        tensors["offset"][index, :, 0] = value
    wanted = run(through_mmcv, compiled, case, tensors)
    found = run(through_mmcv, ours, case, tensors)
    for name, value in wanted.items():
        theirs, ours_ = value, found[name]
        if name in ("offset", "mask"):  # compiled mmcv's gradients at an offset of NaN are NaN
            assert ours_.isfinite().all()
            theirs, ours_ = theirs[1:], ours_[1:]
        torch.testing.assert_close(ours_, theirs, rtol=1e-5, atol=1e-3, msg=name)


def test_shapes_that_do_not_fit_are_named(ours, through_mmcv):
    through_mmcv("modulated_deform_conv", ours)
    tensors = Case().tensors(torch.float32, modulated=True)
    del tensors["grads"]
    for name in ("offset", "mask"):
        short = {**tensors, name: tensors[name][:, :-1]}
        with pytest.raises((InputError, RuntimeError), match=name):
            convolve(Case(), **short)


def test_autocast_does_not_reach_into_the_operator(ours, through_mmcv):
    case = CASES[0]
    tensors = case.tensors(torch.float32, modulated=True)
    plain = run(through_mmcv, ours, case, tensors)
    with torch.autocast("cpu", torch.bfloat16):
        within = run(through_mmcv, ours, case, tensors)
    assert all(torch.equal(plain[name], within[name]) for name in plain)


def test_memory_formats_give_the_same(ours, through_mmcv):
    case = CASES[0]
    tensors = case.tensors(torch.float64, modulated=True)
    wanted = run(through_mmcv, ours, case, tensors)
    tensors["input"] = tensors["input"].contiguous(memory_format=torch.channels_last)
    found = run(through_mmcv, ours, case, tensors)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value)
