"""Bring one address to one part file: in byte ranges, several at a time, where the server can.

The part file only grows, in order, so its size says where the next attempt resumes.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from urllib.parse import urljoin, urlsplit

import requests
import tenacity
import urllib3
from requests import exceptions
from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bar

from rankdet.downloads.table import Download
from rankdet.downloads.verify import HEAD, Damaged, check_head, check_size
from rankdet.errors import InputError
from rankdet.outputs import write_text
from rankdet.times import duration

LINE_SECONDS = 15.0  # between two lines where the stream is no terminal


class Progress:
    """Bytes, speed and time left of one file after the other; `advance` may come from threads.

    Args:
        stream: where it is shown; None shows nothing.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._bar: Bar | None = None
        self._total: int | None = None
        self._name, self._done, self._present = "", 0, 0
        self._start = self._last = 0.0

    def begin(self, name: str, total: int | None, present: int) -> None:
        """Start a file of ``total`` bytes, None if unknown; ``present`` of them are here."""
        self.end()
        self._name, self._total, self._done, self._present = name, total, present, present
        self._start = self._last = time.monotonic()
        if self._stream is not None and self._stream.isatty():
            columns = BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
            console = Console(file=self._stream)
            self._bar = Bar(TextColumn("{task.description}"), *columns, console=console)
            self._bar.add_task(name, total=total, completed=present)
            self._bar.start()
        elif present:
            self._print(f"{name}: resumes at {decimal(present)}")

    def advance(self, count: int) -> None:
        """Add ``count`` bytes."""
        with self._lock:
            self._done += count
            if self._bar is not None:
                self._bar.update(self._bar.task_ids[0], completed=self._done)
            elif time.monotonic() - self._last >= LINE_SECONDS:
                self._last = time.monotonic()
                self._print(self._line())

    def end(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def say(self, text: str) -> None:
        """Print a line of its own."""
        self.end()
        self._print(text)

    def _line(self) -> str:
        """Return name, bytes, speed and time left."""
        seconds = max(time.monotonic() - self._start, 1e-9)
        speed = (self._done - self._present) / seconds
        text = f"{self._name}: {decimal(self._done)}"
        if self._total:
            text += f" of {decimal(self._total)} ({100 * self._done / self._total:.0f} %)"
        text += f", {decimal(round(speed))}/s"
        if self._total and speed > 0:
            text += f", {duration((self._total - self._done) / speed)} left"
        return text

    def _print(self, text: str) -> None:
        if self._stream is not None:
            print(text, file=self._stream, flush=True)


PIECE = 1 << 18
LONGEST_PAUSE = 120.0  # seconds, also if the server asks for more
_BACKOFF_LIMIT = 30.0  # seconds
_DRIVE = re.compile(r"^https://drive\.google\.com/(?:file/d/|uc\?(?:.*&)?id=)([\w-]+)")
_BROWSER_ONLY = ("https://1drv.ms/",)


@dataclass(frozen=True)
class TransferSettings:
    """How files are transferred.

    Attributes:
        connections: byte ranges under way at a time.
        block: bytes of one range. A killed process loses the ranges under way.
        timeout: seconds without a byte after which a connection counts as dead.
        attempts: failures in a row without a byte of progress before giving up.
        pause: longest wait in seconds before the second attempt; doubled each time.
    """

    connections: int = 4
    block: int = 8 << 20
    timeout: float = 60.0
    attempts: int = 8
    pause: float = 1.0


class TransferInterrupted(Exception):
    """A failure that may pass: a cut, a timeout, a busy server.

    ``retry_after``: seconds that the server asked to wait.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotAvailable(InputError):
    """The server answers, and has no such file or refuses it."""


class CertificateRefused(InputError):
    """The host does not prove that it is who it says it is; another attempt would not help."""


class InsecureAddress(InputError):
    """An address without encryption, of a file whose content nothing else proves."""


def direct_address(url: str) -> str | None:
    """Return the address of the bytes behind ``url``; None if only a browser gets them.

    For files above some 100 MB Google Drive asks for a confirmation, which `confirm` gives; over
    its quota it sends a page, which the verification names.
    """
    if url.startswith(_BROWSER_ONLY):
        return None
    drive = _DRIVE.match(url)
    if drive:
        host = "https://drive.usercontent.google.com/download"
        return f"{host}?id={drive[1]}&export=download&confirm=t"
    return url


def require_secure(row: Download, url: str) -> None:
    """Check that what comes from ``url`` can be trusted: by https, or by a whole known sha256.

    The eight digits in the name of a model file are no proof, since other content with the same
    ones is found in minutes.

    Raises:
        InsecureAddress: if it comes by http over a network, and its sha256 is not known.
    """
    if urlsplit(url).scheme == "https" or len(row.sha256) == 64 or _is_this_machine(url):
        return
    raise InsecureAddress(
        f"an https address of {row.file}, whose whole sha256 is not known",
        url,
        "use an https address, or get the file in a way you trust and put it into the inbox",
    )


def _is_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def transfer(
    row: Download, url: str, part: Path, settings: TransferSettings, progress: Progress
) -> bool:
    """Bring the content of ``url`` to ``part``; resume where an earlier attempt stopped.

    Returns:
        Whether bytes of an earlier attempt were kept.

    Raises:
        NotAvailable: if the server has no such file, or refuses it.
        CertificateRefused, InsecureAddress: if the host, or one that it leads to, is not trusted.
        TransferInterrupted: if the connection failed too often; the part file stays.
        WebPage, Damaged: if the beginning or the announced size is wrong.
        OSError: if the part file cannot be written.
    """
    for _ in range(2):
        try:
            return _Transfer(row, url, settings, progress).run(part)
        except _Changed:
            discard(part)
    raise Damaged(
        f"{row.file} from {url}", "content that changes during the transfer", "try again later"
    )


def discard(part: Path) -> None:
    """Remove a part file and the note of its source, if there are any."""
    for path in (part, _source_note(part)):
        path.unlink(missing_ok=True)


def _source_note(part: Path) -> Path:
    return part.with_name(part.name + ".source")


class _Changed(Exception):
    """The content at the address is not the one of which the part file holds the beginning."""


class _Transfer:
    """The requests for one address, each with retries.

    Attributes:
        size: of the file in bytes; None if the server does not say.
        validator: the server's name of this version of the content (ETag or date), or "".
    """

    def __init__(
        self, row: Download, url: str, settings: TransferSettings, progress: Progress
    ) -> None:
        self.row, self.url, self.settings, self.progress = row, url, settings, progress
        self.size: int | None = None
        self.validator = ""
        self.is_proven = len(row.sha256) == 64  # the hash proves the result, whatever the version
        self.stop = threading.Event()
        self.local = threading.local()
        # Random pauses: machines that lost the same server must not come back at the same time.
        self.backoff = tenacity.wait_random_exponential(settings.pause, max=30.0)
        self.retry = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransferInterrupted),
            stop=tenacity.stop_after_attempt(settings.attempts)
            | tenacity.stop_when_event_set(self.stop),
            wait=self._pause,
            sleep=self._wait,
            reraise=True,
        )

    def run(self, part: Path) -> bool:
        if self.retry(self._has_ranges):
            return self._by_ranges(part)
        self.retry(self._whole, part)
        return False

    def _wait(self, seconds: float) -> None:
        self.stop.wait(seconds)

    def _pause(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = getattr(error, "retry_after", None) or 0.0
        return min(max(asked, self.backoff(state)), LONGEST_PAUSE)

    def _has_ranges(self) -> bool:
        """Ask for the first bytes: does the server serve ranges, and is it the right file?"""
        with self._get({"Range": f"bytes=0-{HEAD - 1}"}) as answer:
            head = next(answer.iter_content(HEAD), b"")
            total = answer.headers.get("Content-Range", "").rpartition("/")[2]
            has_ranges = answer.status_code == 206 and total.isdigit()
            self.size = int(total) if has_ranges else _length(answer)
            self.validator = _validator(answer)
        check_head(self.row, head, self.url)
        if self.size is not None:
            check_size(self.row, self.size, self.url)
        return has_ranges

    def _by_ranges(self, part: Path) -> bool:
        """Fetch blocks in parallel and append them in order."""
        present, block, size = self._present(part), self.settings.block, self.size or 0
        self.progress.begin(self.row.file, self.size, present)
        starts = deque(range(present, size, block))
        pending: deque[Future[bytearray]] = deque()
        with ThreadPoolExecutor(self.settings.connections) as pool, part.open("ab") as out:
            try:
                while starts or pending:
                    while starts and len(pending) < self.settings.connections:
                        start = starts.popleft()
                        end = min(start + block, size)
                        pending.append(pool.submit(self._block, start, end))
                    out.write(pending.popleft().result())
                    out.flush()
            finally:
                self.stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
        return present > 0

    def _present(self, part: Path) -> int:
        """Return how many bytes of this content an earlier attempt left; discard other content."""
        version = f"sha256 {self.row.sha256}" if self.is_proven else f"{self.url} {self.validator}"
        note, text = _source_note(part), f"{self.size} {version}\n"
        try:
            present = part.stat().st_size
            if note.read_text(encoding="utf-8") == text and present <= (self.size or 0):
                return present
        except (FileNotFoundError, UnicodeDecodeError):
            pass
        discard(part)
        write_text(note, text)
        return 0

    def _block(self, start: int, end: int) -> bytearray:
        """Return one byte range; after a cut it resumes at the byte where it was cut."""
        data = bytearray()

        def attempt() -> None:
            before = len(data)
            try:
                self._append(data, start + before, end)
            except TransferInterrupted:
                if len(data) == before:
                    raise
                # A line that is cut every minute but makes progress is never given up.
                self.stop.wait(self.settings.pause)

        while start + len(data) < end and not self.stop.is_set():
            self.retry(attempt)
        return data

    def _append(self, data: bytearray, start: int, end: int) -> None:
        missing = end - start
        with self._get({"Range": f"bytes={start}-{end - 1}"}) as answer:
            wanted = f"bytes {start}-{end - 1}/{self.size}"
            if answer.status_code != 206 or answer.headers.get("Content-Range") != wanted:
                raise _Changed
            if not self.is_proven and _validator(answer) != self.validator:
                raise _Changed
            # read1 gives what is there: after a cut nothing that came is lost.
            while missing and (piece := answer.raw.read1(min(PIECE, missing))):
                if self.stop.is_set():
                    break
                data += piece
                missing -= len(piece)
                self.progress.advance(len(piece))
        if missing:
            raise TransferInterrupted(f"{self.url}: the answer ended {missing} bytes early")

    def _whole(self, part: Path) -> None:
        """Fetch the whole file in one answer: without ranges every attempt begins anew."""
        discard(part)
        with self._get({}) as answer, part.open("wb") as out:
            size = _length(answer) or self.row.size_bytes
            self.progress.begin(self.row.file, size, 0)
            for piece in answer.iter_content(PIECE):
                out.write(piece)
                self.progress.advance(len(piece))
            missing = 0 if size is None else size - out.tell()
        if missing > 0:
            raise TransferInterrupted(f"{self.url}: the answer ended {missing} bytes early")

    @contextmanager
    def _get(self, headers: dict[str, str]) -> Iterator[requests.Response]:
        """Open the address; every failure that may pass becomes `TransferInterrupted`."""
        # Compressed content would have another size and other ranges than the file.
        headers = {"Accept-Encoding": "identity", "User-Agent": "rankdet", **headers}
        timeout = (min(self.settings.timeout, 20.0), self.settings.timeout)
        with (
            _connection_errors(self.url),
            self._session().get(self.url, headers=headers, stream=True, timeout=timeout) as answer,
        ):
            status = answer.status_code
            if status in (408, 425, 429) or status >= 500:
                after = urllib3.Retry().get_retry_after(answer.raw)
                raise TransferInterrupted(f"{self.url}: status {status}", after)
            if status not in (200, 206):
                raise NotAvailable(
                    f"a file at {self.url}",
                    f"status {status} {answer.reason}".strip(),
                    "look for another address, or add a mirror to configs/downloads.csv",
                )
            yield answer

    def _session(self) -> requests.Session:
        """Return this thread's session; it follows no redirect that `require_secure` refuses."""

        def check(answer: requests.Response, **_: object) -> None:
            if answer.is_redirect:
                require_secure(self.row, urljoin(answer.url, answer.headers["Location"]))

        if not hasattr(self.local, "session"):
            self.local.session = requests.Session()
            self.local.session.hooks["response"].append(check)
        return self.local.session


@contextmanager
def _connection_errors(url: str) -> Iterator[None]:
    """Turn what requests and urllib3 raise for a failed connection into `TransferInterrupted`.

    Nothing else: a full disk does not pass by itself, nor does a wrong certificate.
    """
    try:
        yield
    except (exceptions.InvalidURL, exceptions.InvalidSchema, exceptions.MissingSchema) as error:
        raise InputError("an http address", repr(url), str(error)) from None
    except (exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
        cause: BaseException = error
        while (inner := cause.__cause__ or cause.__context__) is not None:
            cause = inner
        reason = f"{type(cause).__name__}: {cause}"[:200]
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise CertificateRefused(
                f"a valid certificate of the host of {url}",
                reason,
                "check this machine's clock and certificates (ca-certificates), or use a mirror",
            ) from error
        raise TransferInterrupted(f"{url}: {reason}") from error


def _validator(answer: requests.Response) -> str:
    """Return the server's name of this version; a weak one does not promise the same bytes."""
    tag = answer.headers.get("ETag", "")
    return answer.headers.get("Last-Modified", "") if tag.startswith("W/") or not tag else tag


def _length(answer: requests.Response) -> int | None:
    length = answer.headers.get("Content-Length", "")
    packed = answer.headers.get("Content-Encoding", "identity") != "identity"
    return int(length) if length.isdigit() and not packed else None
