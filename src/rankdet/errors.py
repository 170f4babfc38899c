"""The one error type for mistakes of a user: what was expected, what came, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """A mistake in what the user gave; the message is for the user and needs no traceback.

    Args:
        expected: what the program can work with.
        got: what it was given instead.
        todo: the next step that mends it.
    """

    def __init__(self, expected: str, got: str, todo: str) -> None:
        super().__init__(f"expected {expected}; got {got}; {todo}")
        self.expected, self.got, self.todo = expected, got, todo


def nearest(name: str, known: Iterable[str], count: int = 4) -> str:
    """Return the known names most like ``name``, ready to stand in a message."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=count, cutoff=0.4)
    return "nearest: " + ", ".join(close) if close else "known: " + ", ".join(known[:count])
