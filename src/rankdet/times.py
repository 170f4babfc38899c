"""Times as text."""

from __future__ import annotations

import time


def duration(seconds: float | None) -> str:
    """Return a duration as ``50 s``, ``2 min 50 s`` or ``3 h 05 min``; an unknown one as a dash."""
    if seconds is None:
        return "—"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def utc_now() -> str:
    """Return the present time of UTC as ``2026-01-31T12:00:00Z`` (ISO 8601)."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
