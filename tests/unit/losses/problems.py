"""Random problems for the losses."""

import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

TARGETS = [-1.0, 0.0, 0.0, 0.3, 0.5, 0.77, 1.0]


@st.composite
def problems(draw, size=40, tied=True):
    """Logits [n], targets in {-1, 0, (0, 1]} and one error per positive, all float64.

    Logits are multiples of a power of two: differences are exact, so that a pair at the end of a
    window is there for every way of computing it.
    """
    count = draw(st.integers(1, size))
    step = draw(st.sampled_from([2**-2, 2**-7, 2**-13] if tied else [2**-7, 2**-10]))
    spread = draw(st.sampled_from([1, 5, 40]))
    whole = st.integers(-int(spread / step), int(spread / step))
    logits = draw(st.lists(whole, min_size=count, max_size=count, unique=not tied))
    targets = draw(st.lists(st.sampled_from(TARGETS), min_size=count, max_size=count))
    targets = torch.tensor(targets, dtype=torch.float64)
    positives = int((targets > 0).sum())
    errors = draw(arrays.arrays("float64", positives, elements=st.floats(0, 2)))
    return torch.tensor(logits).double() * step, targets, torch.from_numpy(errors)


def trained_like(positives, negatives, seed=0, dtype=torch.float64):
    """Shuffled logits and soft targets of a detector some way into its training, and errors."""
    generator = torch.Generator().manual_seed(seed)

    def normal(count):
        return torch.randn(count, generator=generator, dtype=torch.float64)

    logits = torch.cat((1.5 * normal(positives) - 1, 1.2 * normal(negatives) - 5))
    targets = torch.zeros_like(logits)
    targets[:positives] = 0.01 + 0.99 * torch.rand(positives, generator=generator).double()
    order = torch.randperm(logits.numel(), generator=generator)
    errors = torch.rand(positives, generator=generator).double()
    return logits[order].to(dtype), targets[order].to(dtype), errors.to(dtype)


def gradient_of(value, *inputs):
    """Gradients of a scalar; zeros where it does not depend on an input."""
    if not value.requires_grad:
        return tuple(torch.zeros_like(each) for each in inputs)
    return torch.autograd.grad(value, inputs, retain_graph=True, materialize_grads=True)


def close(ours, expected, tolerance=1e-9):
    """Equal to ``tolerance`` of the largest entry; 1e-13 is zero for losses of order 1."""
    expected = expected.detach().to(ours.dtype)
    scale = float(expected.abs().max()) if expected.numel() else 1.0
    torch.testing.assert_close(
        ours.detach(), expected, rtol=tolerance, atol=max(tolerance * scale, 1e-13)
    )
