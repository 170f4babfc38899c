"""Random numbers that depend on the position in a training, not on earlier random numbers.

A resumed training then draws the same numbers as an uninterrupted one, with any number of loading
processes and for any division of a step's images among processes and passes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

STEP, SAMPLE = 0, 1  # purpose of the numbers: the first element of a key


def seed_libraries(*key: int) -> None:
    """Seed Python, NumPy and PyTorch (its devices too) from a tuple of numbers >= 0."""
    words = _words(key)
    _seed_python(words)
    torch.manual_seed(_torch_seed(words))


@contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Seed the CPU's generators from ``key`` for the body, then restore their state."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = _words(key)
    _seed_python(words)
    torch.default_generator.manual_seed(_torch_seed(words))
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


def _words(key: tuple[int, ...]) -> np.ndarray:
    # NumPy's hash of its entropy: keys that differ in one number give unrelated streams.
    return np.random.SeedSequence(key).generate_state(8)


def _seed_python(words: np.ndarray) -> None:
    random.seed(int(words[0]) << 32 | int(words[1]))
    np.random.seed(words[2:6])


def _torch_seed(words: np.ndarray) -> int:
    return int(words[6]) << 31 | int(words[7]) >> 1
