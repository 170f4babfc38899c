"""What passes by itself and is tried again, and what does not."""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import requests
import tenacity
import urllib3

from rankdet.errors import InputError

LONGEST_PAUSE = 120.0
Value = TypeVar("Value")


class Interrupted(Exception):
    """A failure that may pass: a cut, a timeout, a busy server.

    ``retry_after``: seconds that the server asked to wait.
    """

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Gone(InputError):
    """The server answers, and has no such file or does not give it out."""

    def __init__(self, url: str, status: int, reason: str) -> None:
        super().__init__(
            f"a file at {url}",
            f"status {status} {reason}".strip(),
            "look for another address, or add a mirror to configs/downloads.csv",
        )


class Untrusted(InputError):
    """The host does not prove that it is who it says it is; another attempt would not change it."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"a valid certificate of the host of {url}",
            reason,
            "check this machine's clock and certificates (ca-certificates), or use a mirror",
        )


class Patience:
    """Repeat with growing, random pauses until nothing has moved for ``attempts`` times.

    Progress counts: a line that is cut every minute but moves on is never given up.
    """

    def __init__(self, attempts: int, pause: float) -> None:
        self.attempts, self.pause = attempts, pause
        self._failures = 0

    def progress(self) -> None:
        """Note that bytes came: the count of failures begins anew."""
        self._failures = 0

    def run(self, attempt: Callable[[], Value]) -> Value:
        """Return what ``attempt`` returns; raise the last `Interrupted` when out of patience."""
        self._failures = 0
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Interrupted),
            stop=self._exhausted,
            wait=self._pause,
            reraise=True,
        )
        return retrying(attempt)

    def _exhausted(self, state: tenacity.RetryCallState) -> bool:
        self._failures += 1
        return self._failures >= self.attempts

    def _pause(self, state: tenacity.RetryCallState) -> float:
        asked = state.outcome.exception().retry_after or 0
        # Random, so that many machines that lost the same server do not come back in step.
        grown = random.uniform(0, min(self.pause * 2 ** (self._failures - 1), 30.0))
        return min(max(asked, grown), LONGEST_PAUSE)


@contextmanager
def temporary(url: str) -> Iterator[None]:
    """Turn what `requests` and urllib3 raise for a broken connection into `Interrupted`.

    Nothing else: a full disk does not pass by itself, nor does a wrong certificate (`Untrusted`).
    """
    try:
        yield
    except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema) as error:
        raise InputError("an http address", repr(url), str(error)) from None
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        inner = _innermost(error)
        reason = f"{type(inner).__name__}: {inner}"[:200]
        if isinstance(inner, ssl.SSLCertVerificationError):
            raise Untrusted(url, reason) from error
        raise Interrupted(f"{url}: {reason}") from error


def _innermost(error: BaseException) -> BaseException:
    """Return the reason itself; urllib3 wraps it several times."""
    inner: BaseException = error
    while True:
        nested = getattr(inner, "reason", None)
        nested = nested if isinstance(nested, BaseException) else None
        nested = nested or next((a for a in inner.args if isinstance(a, BaseException)), None)
        if nested is None:
            return inner
        inner = nested
