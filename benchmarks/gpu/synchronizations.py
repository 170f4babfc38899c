"""How often the host waits for the device: torch.cuda.set_sync_debug_mode counts it."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator

import torch

# The required synchronization: the number of positives determines all later shapes, and the lowest
# and highest logits of the window are read together with it.
UNAVOIDABLE = 1


@contextlib.contextmanager
def counted() -> Iterator[list[str]]:
    """Collect where the host waited, as `file:line`, while the block runs."""
    found: list[str] = []
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield found
            found += [
                f"{each.filename.rsplit('/', 1)[-1]}:{each.lineno}"
                for each in caught
                if "synchroniz" in str(each.message)
            ]
    finally:
        torch.cuda.set_sync_debug_mode("default")


def count(run: Callable[[], object], device: torch.device) -> tuple[int | None, str]:
    """Return how often ``run`` waits and where; None if it cannot be counted."""
    if device.type != "cuda":
        return None, ""
    run()  # first calls load kernels
    torch.cuda.synchronize(device)
    with counted() as places:
        run()
    return len(places), " ".join(places)
