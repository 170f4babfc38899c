"""Losses on the device: agreement with the CPU, repeatability, host waits, time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.gpu.machine import take_turns
from benchmarks.gpu.synchronizations import count
from benchmarks.losses_problems import CONTESTANTS, DISTRIBUTIONS, problem
from rankdet import losses

SIZES = ((300, 1_000_000), (500, 100_000), (1_000, 5_000_000), (1_000, 20_000_000))
QUICK_SIZES = ((20, 2_000),)
# Milliseconds of Rank & Sort, forward and backward.
GOALS = {("Rank & Sort", 300, 1_000_000): 1.0, ("Rank & Sort", 1_000, 20_000_000): 5.0}
FROM_LOOP_TO = 5_000_000  # the loop is left out beyond


def parameterized_ap(logits: Tensor, targets: Tensor, errors: Tensor) -> Tensor:
    """Forward and backward of Parameterized AP Loss with the published RetinaNet functions."""
    logits = logits.detach().requires_grad_()
    points = losses.SEARCHED_CONTROL_POINTS["retina"]
    loss = losses.parameterized_ap_loss(logits, targets.clone(), (targets > 0).long(), points)
    loss.backward()
    return logits.grad


ALL = {**CONTESTANTS, "Parameterized AP": {"exact": parameterized_ap}}


def on(device: torch.device, distribution: str, positives: int, negatives: int):
    """Return a problem's tensors on the device."""
    return tuple(tensor.to(device) for tensor in problem(distribution, positives, negatives))


def agreement(device: torch.device, quick: bool) -> Iterator[dict]:
    """Compare each loss's gradient on the device with the CPU's, and with itself run again."""
    sizes = QUICK_SIZES if quick else ((20, 2_000), (500, 100_000), (300, 1_000_000))
    for name, ways in ALL.items():
        for distribution in DISTRIBUTIONS:
            for positives, negatives in sizes:
                run = ways["exact"]
                expected = run(*problem(distribution, positives, negatives))
                inputs = on(device, distribution, positives, negatives)
                found, again = run(*inputs), run(*inputs)
                off = (found.cpu().double() - expected.double()).abs().max()
                yield {
                    **{"loss": name, "distribution": distribution, "P": positives, "N": negatives},
                    "gradient off by, of its largest": float(off / expected.abs().max()),
                    "bit-equal when repeated": bool(torch.equal(found, again)),
                }


def times(device: torch.device, quick: bool) -> Iterator[dict]:
    """Time forward and backward of each way to compute a loss; count the exact one's waits."""
    rounds, warm = (2, 1) if quick else (30, 5)
    for positives, negatives in QUICK_SIZES if quick else SIZES:
        for distribution in DISTRIBUTIONS:
            inputs = on(device, distribution, positives, negatives)
            for name, ways in ALL.items():
                row = {"loss": name, "distribution": distribution, "P": positives, "N": negatives}
                fast = {way: _bound(run, inputs) for way, run in ways.items() if way != "loop"}
                found = take_turns(fast, device, rounds, warm)
                if "loop" in ways and negatives <= FROM_LOOP_TO:
                    found |= take_turns({"loop": _bound(ways["loop"], inputs)}, device, 2, 1)
                waits, places = count(fast["exact"], device)
                row |= {f"{way} ms": taken for way, taken in found.items()}
                goal = GOALS.get((name, positives, negatives))
                row |= {"goal ms": goal} if goal else {}
                yield row | {"host waits": waits, "where": places}


def _bound(run, inputs):
    return lambda: run(*inputs)
