"""The one error type for mistakes of a user: what was expected, what came, what to do."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable
from typing import Any


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


def shown(value: Any, length: int = 60) -> str:
    """Return ``value`` for a message: one line of at most ``length`` characters.

    Unlike repr() it stays short and fast for long and deeply nested values, and does not fail.
    """
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = length
    short.maxlevel = 3
    try:
        text = " ".join(short.repr(value).split())
    except Exception:  # a number of too many digits, or a __repr__ that fails
        text = f"a {type(value).__name__}"
    return text if len(text) <= length else text[: length - 3] + "..."
