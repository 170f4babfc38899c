"""One address to one part file: by byte ranges, several at a time, where the server allows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import requests

from rankdet.data.fetch.hosts import require_proof
from rankdet.data.fetch.journal import Journal, discard
from rankdet.data.fetch.patience import Gone, Interrupted, Patience, temporary
from rankdet.data.fetch.progress import Progress
from rankdet.data.fetch.table import Download
from rankdet.data.fetch.verify import HEAD, Damaged, check_head, check_size

PIECE = 1 << 18


@dataclass(frozen=True)
class Settings:
    """How files are transferred.

    Attributes:
        connections: byte ranges under way at a time.
        block: bytes of one range; what a kill can lose is the ranges under way.
        timeout: seconds without a byte after which a connection counts as dead.
        attempts: failures in a row without a byte of progress before giving up.
        pause: longest wait in seconds before the second attempt; doubled each time.
    """

    connections: int = 4
    block: int = 16 << 20
    timeout: float = 60.0
    attempts: int = 8
    pause: float = 1.0


@dataclass(frozen=True)
class Source:
    """What the server said about the file.

    Attributes:
        size: in bytes; None if it did not say.
        ranges: whether it gives out parts of it.
        validator: what it calls this version of the content (ETag or date), or "".
        mark: what a part file must carry to be continued from here.
    """

    size: int | None
    ranges: bool
    validator: str
    mark: str


class Changed(Exception):
    """The content at the address is no longer what the part file holds."""


def transfer(row: Download, url: str, part: Path, settings: Settings, progress: Progress) -> bool:
    """Bring the content of ``url`` to ``part``; go on where an earlier attempt stopped.

    Returns:
        Whether bytes of an earlier attempt were kept.

    Raises:
        Gone: if the server has no such file, or refuses it.
        Interrupted: if the connection failed too often; the part file stays.
        WebPage, Damaged: if the beginning or the announced size is wrong.
    """
    patience = Patience(settings.attempts, settings.pause)
    for _ in range(2):
        source = patience.run(lambda: _probe(row, url, settings))
        if not source.ranges:
            patience.run(lambda: _stream(row, url, part, settings, progress))
            return False
        try:
            return _by_ranges(row, url, source, part, settings, progress)
        except Changed:
            discard(part)
    raise Damaged(
        f"{row.file} from {url}", "content that changes under the transfer", "try again later"
    )


def _probe(row: Download, url: str, settings: Settings) -> Source:
    """Ask for the first bytes: does the server know ranges, how large is the file, is it one?"""
    with (
        _session(row) as session,
        _get(session, url, settings, {"Range": f"bytes=0-{HEAD - 1}"}) as answer,
    ):
        head = next(answer.iter_content(HEAD), b"")
        total = answer.headers.get("Content-Range", "").rpartition("/")[2]
        ranges = answer.status_code == 206 and total.isdigit()
        size = int(total) if ranges else _length(answer)
        validator = _mark(answer)
    check_head(row, head, url)
    if size is not None:
        check_size(row, size, url)
    # A whole published hash proves the result, wherever the blocks came from.
    mark = f"sha256 {row.sha256}" if len(row.sha256) == 64 else f"{url} {validator}"
    return Source(size, ranges, validator, mark)


def _by_ranges(
    row: Download, url: str, source: Source, part: Path, settings: Settings, progress: Progress
) -> bool:
    with closing(Journal(part, source.size, source.mark, settings.block)) as journal:
        progress.begin(row.file, source.size, journal.present)
        blocks = journal.missing
        todo, lock, stop = iter(blocks), threading.Lock(), threading.Event()

        def work() -> None:
            with _session(row) as session:
                while not stop.is_set():
                    with lock:
                        block = next(todo, None)
                    if block is None:
                        return
                    if _block(session, url, source, block, journal, settings, progress, stop):
                        journal.complete(block[0])

        workers = min(settings.connections, len(blocks))
        with ThreadPoolExecutor(max(workers, 1)) as pool:
            try:
                jobs = [pool.submit(work) for _ in range(workers)]
                finished, _ = wait(jobs, return_when=FIRST_EXCEPTION)
            finally:
                stop.set()
            for job in finished:
                job.result()
        return journal.resumed


def _block(
    session: requests.Session,
    url: str,
    source: Source,
    block: tuple[int, int],
    journal: Journal,
    settings: Settings,
    progress: Progress,
    stop: threading.Event,
) -> bool:
    """Fetch one byte range, after a cut from the byte it came to; False if stopped before."""
    patience = Patience(settings.attempts, settings.pause)
    offset, end = block

    def attempt() -> None:
        nonlocal offset
        headers = {"Range": f"bytes={offset}-{end - 1}"}
        with _get(session, url, settings, headers) as answer:
            wanted = f"bytes {offset}-{end - 1}/{source.size}"
            if answer.status_code != 206 or answer.headers.get("Content-Range") != wanted:
                raise Changed
            # Servers behind one address may name one version differently: a hash decides better.
            if not source.mark.startswith("sha256") and _mark(answer) != source.validator:
                raise Changed
            # read1 gives what is there: after a cut nothing that came is lost.
            while offset < end and (piece := answer.raw.read1(min(PIECE, end - offset))):
                if stop.is_set():
                    return
                journal.write(piece, offset)
                offset += len(piece)
                patience.progress()
                progress.advance(len(piece))
        if offset < end:
            raise Interrupted(f"{url}: the answer ended {end - offset} bytes early")

    patience.run(attempt)
    return offset == end


def _stream(row: Download, url: str, part: Path, settings: Settings, progress: Progress) -> None:
    """Fetch the whole file in one go: without ranges every attempt begins anew."""
    discard(part)
    with (
        _session(row) as session,
        _get(session, url, settings, {}) as answer,
        part.open("wb") as stream,
    ):
        size = _length(answer) or row.size_bytes
        progress.begin(row.file, size, 0)
        for piece in answer.iter_content(PIECE):
            stream.write(piece)
            progress.advance(len(piece))
        got = stream.tell()
    if size is not None and got < size:
        raise Interrupted(f"{url}: the answer ended {size - got} bytes early")


def _mark(answer: requests.Response) -> str:
    """Return the validator of the content; a weak one does not promise the same bytes."""
    tag = answer.headers.get("ETag", "")
    return answer.headers.get("Last-Modified", "") if tag.startswith("W/") or not tag else tag


def _length(answer: requests.Response) -> int | None:
    length = answer.headers.get("Content-Length", "")
    packed = answer.headers.get("Content-Encoding", "identity") != "identity"
    return int(length) if length.isdigit() and not packed else None


def _session(row: Download) -> requests.Session:
    """Return a session that follows no redirect to an address that `require_proof` refuses."""

    def check(answer: requests.Response, **_: object) -> None:
        if answer.is_redirect:
            require_proof(row, urljoin(answer.url, answer.headers["Location"]))

    session = requests.Session()
    session.hooks["response"].append(check)
    return session


@contextmanager
def _get(
    session: requests.Session, url: str, settings: Settings, headers: dict[str, str]
) -> Iterator[requests.Response]:
    """Open an address; everything that may pass by itself becomes `Interrupted`."""
    # Packed content would have another size and other ranges than the file.
    headers = {"Accept-Encoding": "identity", "User-Agent": "rankdet", **headers}
    timeout = (min(settings.timeout, 20.0), settings.timeout)
    with (
        temporary(url),
        session.get(url, headers=headers, stream=True, timeout=timeout) as answer,
    ):
        status = answer.status_code
        if status in (408, 425, 429) or status >= 500:
            after = answer.headers.get("Retry-After", "")
            raise Interrupted(f"{url}: status {status}", int(after) if after.isdigit() else None)
        if status not in (200, 206):
            raise Gone(url, status, answer.reason)
        yield answer
