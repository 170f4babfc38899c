"""The sessions of a run: each start of the training until it stopped, was killed or finished."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rankdet.times import utc_now


class Sessions:
    """Iterations and time of each session of a run.

    They are stored in every checkpoint. Iterations after the last checkpoint of a session were lost
    and do not count.

    Args:
        before: earlier sessions, from the checkpoint that this one continues from.
        first: the iteration at which this one starts.
        about: further facts about this session: machine, threads, processes, passes.
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
        """Record that this session has reached ``iteration``, and why it ends if it does."""
        seconds = round(time.monotonic() - self._start, 1)
        self._own.update(to=iteration, seconds=seconds, ended=ended)

    def as_plain(self) -> list[dict[str, Any]]:
        """Return all sessions as plain values, this one last."""
        return [*self._before, dict(self._own)]

    @property
    def seconds(self) -> float:
        """The total time of all sessions."""
        return round(sum(each["seconds"] for each in self.as_plain()), 1)
