"""The error type for user mistakes: what was expected, what was given, and how to fix it."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable
from typing import Any

LONGEST = 600  # characters of one part of a message


class InputError(ValueError):
    """A mistake in the user's input; the message is one line and is shown without a traceback.

    Args:
        expected: what the program needs.
        got: what it was given instead.
        fix: what to do.
    """

    def __init__(self, expected: str, got: str, fix: str) -> None:
        expected, got, fix = map(one_line, (expected, got, fix))
        super().__init__(f"expected {expected}; got {got}; {fix}")
        self.expected, self.got, self.fix = expected, got, fix


def one_line(text: object) -> str:
    """Return ``text`` as one line that is safe to print: control characters are escaped.

    The middle of a text that is too long is omitted.
    """
    text = str(text)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST * 2 // 3]} ... {text[-LONGEST // 4 :]}"
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if text.isprintable() else "".join(shown)


def nearest(name: str, known: Iterable[str], count: int = 4) -> str:
    """Return the known names most similar to ``name``, as text for a message."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=count, cutoff=0.4)
    return "nearest: " + ", ".join(close) if close else "known: " + ", ".join(known[:count])


def shown(value: Any, length: int = 60) -> str:
    """Return ``value`` for a message: one line of at most ``length`` characters.

    Unlike repr(), it is short and fast for long and deeply nested values, and never fails.
    """
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = length
    short.maxlevel = 3
    try:
        text = " ".join(short.repr(value).split())
    except Exception:  # a number with too many digits, or a __repr__ that fails
        text = f"a {type(value).__name__}"
    return text if len(text) <= length else text[: length - 3] + "..."
