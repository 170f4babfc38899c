"""The path of an accelerator, run on the CPU: the same numbers, one host read, no unordered sums.

There is no accelerator in these tests: what is shown is which operations are asked for, not that a
device's kernels keep their order.
"""

import pytest
import torch

from rankdet.losses import (
    SEARCHED_CONTROL_POINTS,
    _sorting,
    alrp_loss,
    ap_loss,
    bucketed_rank_sort_loss,
    parameterized_ap_loss,
    rank_sort_loss,
)
from rankdet.losses import _devices as devices
from tests.unit.losses.conftest import HostReads
from tests.unit.losses.problems import close, gradient_of, trained_like

ROWS = SEARCHED_CONTROL_POINTS["roi"]


def searched(logits, targets, errors):
    qualities = torch.zeros_like(logits)
    qualities.index_put_((targets.detach().nonzero().squeeze(1),), errors)
    return (parameterized_ap_loss(logits, qualities, targets, ROWS, top_k=900),)


LOSSES = {
    "ap": lambda s, t, e: (ap_loss(s, t),),
    "alrp": alrp_loss,
    "rank_sort": lambda s, t, e: rank_sort_loss(s, t),
    "rank_sort_step": lambda s, t, e: rank_sort_loss(s, t, delta=0.0),
    "bucketed": lambda s, t, e: bucketed_rank_sort_loss(s, t),
    "searched": searched,
}


def problem(tied):
    logits, targets, errors = trained_like(50, 3_000)
    if tied:
        logits = (logits * 4).round() / 4
    return logits.requires_grad_(), targets, errors


def run(loss, logits, targets, errors):
    values = loss(logits, targets, errors)
    return [each for value in values for each in (value, gradient_of(value, logits)[0])]


@pytest.mark.parametrize("block", [1, 1 << 24])  # rows of the pairs of positives: one, all
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_the_same_numbers(name, tied, block, request, monkeypatch):
    monkeypatch.setattr(_sorting, "_BLOCK", block)
    inputs = problem(tied)
    expected = run(LOSSES[name], *inputs)
    request.getfixturevalue("as_accelerator")
    for ours, other in zip(run(LOSSES[name], *inputs), expected, strict=True):
        close(ours, other)


@pytest.mark.parametrize("name", ["ap", "alrp", "rank_sort", "rank_sort_step"])
def test_one_host_read(name, as_accelerator):
    """The number of positives, which is a shape, is read together with all checks."""
    inputs = problem(False)
    with HostReads() as mode:
        run(LOSSES[name], *inputs)
    assert mode.refused == []
    assert len(as_accelerator) == 1


@pytest.mark.parametrize(("name", "reads"), [("searched", 2), ("bucketed", 2)])
def test_two_host_reads(name, reads, as_accelerator):
    """Then the number of candidates, or of negatives in the buckets."""
    run(LOSSES[name], *problem(False))
    assert len(as_accelerator) == reads


# Forward and backward; at some microseconds each they are the time of a call on few logits.
LAUNCHES = {"ap": 232, "alrp": 249, "rank_sort": 275, "searched": 670}


@pytest.mark.parametrize("name", LAUNCHES)
def test_launches_do_not_creep_up(name, as_accelerator):
    logits, targets, errors = problem(False)
    with HostReads() as mode:
        sum(LOSSES[name](logits, targets, errors.requires_grad_())).backward()
    assert mode.launches <= LAUNCHES[name]


def test_running_sums_are_sums(as_accelerator):
    values = torch.randn(3, 40_000, dtype=torch.float64)  # more than a block of blocks
    close(devices.running_sum(values), values.cumsum(-1), 1e-13)
    close(devices.running_sum_from_end(values), values.flip(-1).cumsum(-1).flip(-1), 1e-13)


def test_integer_totals_do_not_depend_on_the_order(as_accelerator):
    """Sums of the same numbers in another order are bit-equal, and true to 1e-15."""
    generator = torch.Generator().manual_seed(0)
    segments = torch.randint(0, 7, (100_000,), generator=generator, dtype=torch.int32)
    values = torch.rand(100_000, generator=generator, dtype=torch.float64) ** 8
    order = torch.randperm(100_000, generator=generator)
    found = []
    for place in (slice(None), order):
        sums = devices.SegmentSums(values, 7, 1.0)
        sums.add(segments[place], values[place])
        found.append(sums.totals())
        assert torch.equal(sums.counts(), torch.bincount(segments))
    assert torch.equal(*found)
    close(found[0], torch.zeros(7).double().index_add_(0, segments, values), 1e-14)


def test_the_smallest_overlap_keeps_its_digits(as_accelerator):
    """One negative that just reaches into the window: FP is 1e-9, and its share is all of it."""
    logits = torch.tensor([0.0, -1.0 + 2e-9], dtype=torch.float64, requires_grad=True)
    value = ap_loss(logits, torch.tensor([1, 0]))
    assert value.item() == pytest.approx(1e-9, rel=1e-6)
    assert gradient_of(value, logits)[0][1].item() == pytest.approx(1e-9, rel=1e-6)


def test_the_watch_sees_what_the_cpu_path_does():
    """Without it the tests above would show nothing."""
    inputs = problem(False)
    with HostReads() as mode:
        run(LOSSES["rank_sort"], *inputs)
    seen = " ".join(mode.refused)
    assert "bincount" in seen
    assert "unique_consecutive" in seen
    assert "cumsum.default of floats" in seen
    assert "index_add_.default of floats" in seen


def test_a_device_without_static_nonzero(monkeypatch):
    def missing(*args, **kwargs):
        raise NotImplementedError

    monkeypatch.setattr(torch, "nonzero_static", missing)
    mask = torch.tensor([True, False, True])
    assert devices.positions_of(mask, 2).tolist() == [0, 2]
