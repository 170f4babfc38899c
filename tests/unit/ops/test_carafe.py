"""CARAFE's operators against its definition; values of `reassemble` are in tests/unit/models."""

import mmcv.ops
import pytest
import torch

from tests.unit.models.test_carafe import by_definition

SETTINGS = [
    (size, groups, scale) for size in (1, 3, 5) for groups, scale in ((1, 2), (2, 2), (2, 3))
]


def tensors(size, groups, scale):
    generator = torch.Generator().manual_seed(size)
    shapes = (2, 4, 3, 4), (2, groups * size**2, 3 * scale, 4 * scale), (2, 4, 3 * scale, 4 * scale)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def defined(features, kernels, grads, *settings):
    """Output and gradients of the definition."""
    leaves = [features.clone().requires_grad_(), kernels.clone().requires_grad_()]
    output = by_definition(*leaves, *settings)
    return output.detach(), *torch.autograd.grad(output, leaves, grads)


@pytest.mark.parametrize(("size", "groups", "scale"), SETTINGS)
def test_mmcvs_carafe_is_the_definition(ours, through_mmcv, size, groups, scale):
    through_mmcv("carafe", ours)
    features, kernels, grads = tensors(size, groups, scale)
    leaves = [features.clone().requires_grad_(), kernels.clone().requires_grad_()]
    output = mmcv.ops.carafe(*leaves, size, groups, scale)
    found = output.detach(), *torch.autograd.grad(output, leaves, grads)
    for value, wanted in zip(
        found, defined(features, kernels, grads, size, groups, scale), strict=True
    ):
        torch.testing.assert_close(value, wanted)


@pytest.mark.parametrize(("size", "groups", "scale"), SETTINGS)
def test_the_naive_operators_are_the_definition(ours, size, groups, scale):
    """mmcv's autograd function lets only a GPU through."""
    features, kernels, grads = tensors(size, groups, scale)
    settings = dict(kernel_size=size, group_size=groups, scale_factor=scale)
    output, of_features, of_kernels = (torch.zeros_like(v) for v in (grads, features, kernels))
    ours.carafe_naive_forward(features, kernels, output, **settings)
    ours.carafe_naive_backward(grads, features, kernels, of_features, of_kernels, **settings)
    wanted = defined(features, kernels, grads, size, groups, scale)
    for value, each in zip((output, of_features, of_kernels), wanted, strict=True):
        torch.testing.assert_close(value, each)


def test_carafe_writes_gradients_and_the_naive_operator_adds_them(ours):
    """As on mmcv's GPU."""
    features, kernels, grads = tensors(3, 2, 2)
    settings = dict(kernel_size=3, group_size=2, scale_factor=2)
    last = features.permute(0, 2, 3, 1).contiguous()
    found = {}
    for start in (0, 1):
        buffers = [torch.full_like(each, start) for each in (features, kernels)]
        ours.carafe_backward(grads, last, kernels, *[grads] * 4, *buffers, **settings)
        added = [torch.full_like(each, start) for each in (features, kernels)]
        ours.carafe_naive_backward(grads, features, kernels, *added, **settings)
        found[start] = (*buffers, *(each - start for each in added))
    for first, second in zip(found[0], found[1], strict=True):
        torch.testing.assert_close(first, second)


def test_the_gradient_is_the_derivative(ours, through_mmcv):
    through_mmcv("carafe", ours)
    features, kernels, _ = tensors(3, 2, 2)
    leaves = (features.requires_grad_(), kernels.requires_grad_())
    assert torch.autograd.gradcheck(lambda *each: mmcv.ops.carafe(*each, 3, 2, 2), leaves)
