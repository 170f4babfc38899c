"""The sessions of a run: each time that it was started, until it stopped, died or finished."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rankdet.times import utc_now


class Sessions:
    """What each session of a run did, and took.

    Every checkpoint lists them up to itself. What a session did after its last checkpoint was lost
    with it, and does not count.

    Args:
        before: of the sessions before this one, as in the checkpoint that it continues from.
        first: the iteration that this one continues at.
        about: what is noted of this session besides: machine, threads, processes, passes.
    """

    def __init__(
        self, before: Sequence[Mapping[str, Any]], first: int, about: Mapping[str, Any]
    ) -> None:
        self._before = [dict(each) for each in before]
        if self._before and self._before[-1]["ended"] is None:
            self._before[-1]["ended"] = "without notice"
        self._start = time.monotonic()
        self._own = {
            "started": utc_now(),
            "from": first,
            "to": first,
            "seconds": 0.0,
            "ended": None,
            **about,
        }

    def reach(self, iteration: int, ended: str | None = None) -> None:
        """Note that this session has come to ``iteration``, and why it ends if it does."""
        seconds = round(time.monotonic() - self._start, 1)
        self._own.update(to=iteration, seconds=seconds, ended=ended)

    def as_plain(self) -> list[dict[str, Any]]:
        """Return all sessions as plain values, this one last."""
        return [*self._before, dict(self._own)]

    @property
    def seconds(self) -> float:
        """What all sessions took together."""
        return round(sum(each["seconds"] for each in self.as_plain()), 1)
