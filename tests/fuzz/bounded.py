"""Random inputs against one call: it answers or refuses in one line, in bounded time and memory."""

import resource
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from rankdet.errors import InputError

SECONDS = 20  # of one input
GIB = 3  # more than the process has at the start
# A few inputs in `make test`, ten thousand in `make test-heavy`.
counts = pytest.mark.parametrize("count", [100, pytest.param(10_000, marks=pytest.mark.heavy)])


@contextmanager
def bounds(seconds: int = SECONDS, gib: float = GIB):
    """Fail what hangs or takes too much memory inside of the block."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + int(gib * 2**30), before[1]))

    def late(number, frame):
        raise TimeoutError(f"no answer within {seconds} s")

    old = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
        resource.setrlimit(resource.RLIMIT_AS, before)


def answers_or_refuses(call) -> bool:
    """Return whether ``call`` answered; any error but a one-line InputError passes through."""
    try:
        with bounds():
            call()
    except InputError as refusal:
        assert "\n" not in str(refusal) and len(str(refusal)) < 2000, refusal
        return False
    return True


def fuzz(count: int, strategy, call) -> tuple[int, int]:
    """Try ``call`` with ``count`` values of ``strategy``; return how many it answered and refused.

    The values are the same in every run.
    """
    tally = [0, 0]

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(value):
        tally[not answers_or_refuses(lambda: call(value))] += 1

    run()
    return tally[0], tally[1]
