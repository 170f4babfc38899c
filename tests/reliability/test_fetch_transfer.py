"""A transfer against a server with faults: resumed or refused, never a wrong file in place."""

import hashlib
import random
import socket
import time
from pathlib import Path

import pytest

from rankdet.downloads.obtain import FetchOptions, ManualDownload, Unreachable, obtain
from rankdet.downloads.table import Download
from rankdet.downloads.transfer import NotAvailable, Progress, TransferSettings
from rankdet.downloads.verify import Damaged, check_size
from rankdet.errors import InputError
from tests.reliability.server import Behaviour, FileServer

CONTENT = b"PK\x03\x04" + random.Random(0).randbytes(300_000)
BLOCK = 32 << 10
SETTINGS = TransferSettings(connections=3, block=BLOCK, timeout=1.0, attempts=3, pause=0.001)


@pytest.fixture(scope="module")
def server():
    server = FileServer()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def forget(server):
    server.files.clear()
    server.requests.clear()
    server.sent = server.most_at_once = 0


@pytest.fixture
def options(tmp_path):
    return FetchOptions(tmp_path / "inbox", settings=SETTINGS, progress=Progress(None))


def row(server, name="archive.zip", content=CONTENT, **known):
    """A file of the table: its hash and size are known unless said otherwise."""
    facts = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    urls = server.url(name)
    return Download(kind="data", name="a", file=name, **{"urls": urls, **facts, **known})


def leftovers(target):
    """Files beside ``target`` that are neither it nor its hash nor the lock."""
    own = {target.name, f"{target.name}.sha256", f".{target.name}.part.lock"}
    return sorted(path.name for path in target.parent.iterdir() if path.name not in own)


def test_by_ranges_in_parallel(server, options, tmp_path):
    server.files["archive.zip"] = Behaviour(CONTENT, delay=0.0005)
    target = tmp_path / "out" / "archive.zip"
    sha256 = obtain(row(server), target, options)
    assert target.read_bytes() == CONTENT
    assert sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert (target.parent / "archive.zip.sha256").read_text() == f"{sha256}  archive.zip\n"
    assert server.most_at_once > 1 and leftovers(target) == []


def test_a_second_time_nothing_is_asked(server, options, tmp_path):
    server.files["archive.zip"] = Behaviour(CONTENT)
    target = tmp_path / "archive.zip"
    obtain(row(server), target, options)
    server.requests.clear()
    obtain(row(server), target, options)
    assert server.requests == []


@pytest.mark.parametrize("length", [True, False])
def test_without_ranges(server, options, tmp_path, length):
    server.files["archive.zip"] = Behaviour(CONTENT, ranges=False, length=length)
    target = tmp_path / "archive.zip"
    obtain(row(server), target, options)
    assert target.read_bytes() == CONTENT and server.most_at_once == 1


def test_cut_without_ranges_begins_anew(server, options, tmp_path):
    server.files["archive.zip"] = Behaviour(CONTENT, ranges=False, cut_after=[9000, 50_000, 70_000])
    target = tmp_path / "archive.zip"
    obtain(row(server), target, options)
    assert target.read_bytes() == CONTENT


def test_slow_and_silent_connections(server, options, tmp_path):
    server.files["archive.zip"] = Behaviour(CONTENT, delay=0.001, stall_at=100_000)
    target = tmp_path / "archive.zip"
    obtain(row(server), target, options)
    assert target.read_bytes() == CONTENT
    assert server.sent < 1.2 * len(CONTENT)


def test_cut_connections_resume_at_the_byte(server, options, tmp_path):
    server.files["archive.zip"] = Behaviour(CONTENT, cut_after=[5000, 100, 20_000, 1, 30_000])
    target = tmp_path / "archive.zip"
    obtain(row(server), target, options)
    assert target.read_bytes() == CONTENT
    assert server.sent <= len(CONTENT) + 4096  # the probe of the beginning; nothing twice


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_busy_then_good(server, options, tmp_path, status):
    server.files["archive.zip"] = Behaviour(
        CONTENT, statuses=[status, status], headers={"Retry-After": "0"}
    )
    target = tmp_path / "archive.zip"
    obtain(row(server), target, options)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("after", ["soon", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_busy_with_a_date_or_nonsense_in_retry_after(server, options, tmp_path, after):
    server.files["archive.zip"] = Behaviour(
        CONTENT, statuses=[503, 503], headers={"Retry-After": after}
    )
    obtain(row(server), tmp_path / "archive.zip", options)


def test_the_pause_that_the_server_asks_for_is_kept(server, options, tmp_path):
    server.files["archive.zip"] = Behaviour(CONTENT, statuses=[429], headers={"Retry-After": "1"})
    start = time.monotonic()
    obtain(row(server), tmp_path / "archive.zip", options)
    assert time.monotonic() - start >= 1


def test_a_silent_host_is_given_up(options, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.zip"
        start = time.monotonic()
        with pytest.raises(Unreachable, match="timed out"):
            obtain(
                Download(kind="data", name="a", file="a.zip", urls=url), tmp_path / "a.zip", options
            )
    assert 3 <= time.monotonic() - start < 20  # three attempts of a second


def test_a_wrong_content_range_is_refused(server, options, tmp_path):
    server.files["archive.zip"] = Behaviour(CONTENT, shift=1)
    with pytest.raises(Damaged, match="content that changes during the transfer"):
        obtain(row(server), tmp_path / "archive.zip", options)
    assert leftovers(tmp_path / "archive.zip") == []


def test_busy_for_ever_keeps_what_came(server, options, tmp_path):
    behaviour = server.files["archive.zip"] = Behaviour(CONTENT)
    target = tmp_path / "archive.zip"
    behaviour.statuses = []
    one = FetchOptions(
        options.inbox, settings=TransferSettings(1, BLOCK, 1.0, 2, 0.001), progress=Progress(None)
    )
    behaviour.cut_after = [BLOCK, BLOCK, BLOCK] + [0] * 50
    with pytest.raises(Unreachable, match=r"archive\.zip.*resumes where this one stopped"):
        obtain(row(server), target, one)
    assert not target.exists()
    behaviour.cut_after = []
    server.sent = 0
    obtain(row(server), target, one)
    assert target.read_bytes() == CONTENT
    assert server.sent <= len(CONTENT) - 3 * BLOCK + 4096


def test_nobody_answers(options, tmp_path):
    lonely = Download(kind="data", name="a", file="a.zip", urls="http://127.0.0.1:9/a.zip")
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1.*refused"):
        obtain(lonely, tmp_path / "a.zip", options)
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize("status", [403, 404, 410, 416])
def test_no_such_file(server, options, tmp_path, status):
    server.files["archive.zip"] = Behaviour(CONTENT, statuses=[status] * 9)
    with pytest.raises(NotAvailable, match=f"status {status}"):
        obtain(row(server), tmp_path / "archive.zip", options)
    assert len(server.requests) == 1 and leftovers(tmp_path / "archive.zip") == []


def test_the_next_mirror_is_taken(server, options, tmp_path):
    server.files["good.zip"] = Behaviour(CONTENT)
    server.files["wrong.zip"] = Behaviour(CONTENT[:-1] + b"x")
    urls = " ".join(server.url(name) for name in ("gone.zip", "wrong.zip", "good.zip"))
    target = tmp_path / "archive.zip"
    obtain(row(server, urls=urls), target, options)
    assert target.read_bytes() == CONTENT


def test_a_mirror_of_ones_own_comes_first(server, options, tmp_path):
    server.files["mine/archive.zip"] = Behaviour(CONTENT)
    own = FetchOptions(options.inbox, (server.url("mine/"),), SETTINGS, Progress(None))
    obtain(row(server), tmp_path / "archive.zip", own)
    assert {path for path, _ in server.requests} == {"/mine/archive.zip"}


PAGE = "<!DOCTYPE html><html><head><title>Quota &amp; limit exceeded</title></head></html>"


@pytest.mark.parametrize("page", [PAGE, "  <html><body>log in</body></html>"])
def test_a_page_instead_of_the_file(server, options, tmp_path, page):
    server.files["archive.zip"] = Behaviour(CONTENT, page=page)
    with pytest.raises(ManualDownload, match="an HTML page") as raised:
        obtain(row(server), tmp_path / "archive.zip", options)
    if page is PAGE:
        assert "Quota & limit exceeded" in str(raised.value)
    assert str(options.inbox / "archive.zip") in str(raised.value)
    assert leftovers(tmp_path / "archive.zip") == []


def test_a_wrong_size_is_told_before_the_transfer(server, options, tmp_path):
    server.files["archive.zip"] = Behaviour(CONTENT + b"!" * 5000)
    with pytest.raises(Damaged, match=f"{len(CONTENT)} bytes; got .* {len(CONTENT) + 5000}"):
        obtain(row(server), tmp_path / "archive.zip", options)
    assert server.sent <= 4096


def test_other_bytes_than_an_archive(server, options, tmp_path):
    server.files["archive.zip"] = Behaviour(b"just text " * 1000)
    unknown = row(server, sha256="", size_bytes=None)
    with pytest.raises(Damaged, match=r"a zip archive .* begin b'just tex'"):
        obtain(unknown, tmp_path / "archive.zip", options)


def test_content_that_changes_between_two_attempts(server, options, tmp_path):
    """Without a published hash blocks of two versions must not be mixed."""
    first = server.files["archive.zip"] = Behaviour(CONTENT, cut_after=[BLOCK] + [0] * 50)
    unknown = row(server, sha256="", size_bytes=None)
    target = tmp_path / "archive.zip"
    with pytest.raises(Unreachable):
        obtain(unknown, target, options)
    other = b"PK\x03\x04" + random.Random(1).randbytes(len(CONTENT) - 4)
    server.files["archive.zip"] = Behaviour(other, etag='"two"')
    assert first.etag != server.files["archive.zip"].etag
    obtain(unknown, target, options)
    assert target.read_bytes() == other


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("note", ["", "4 another content\n", None])
def test_a_part_file_of_something_else_is_not_used(server, options, tmp_path, known, note):
    server.files["archive.zip"] = Behaviour(CONTENT)
    target = tmp_path / "archive.zip"
    (tmp_path / ".archive.zip.part").write_bytes(b"else")
    if note is not None:
        (tmp_path / ".archive.zip.part.source").write_text(note)
    obtain(row(server) if known else row(server, sha256="", size_bytes=None), target, options)
    assert target.read_bytes() == CONTENT and leftovers(target) == []


@pytest.mark.parametrize("ranges", [True, False])
def test_a_full_disk_is_no_reason_to_repeat(server, options, tmp_path, monkeypatch, ranges):
    server.files["archive.zip"] = Behaviour(CONTENT, ranges=ranges)
    own_open = Path.open

    def on_full_disk(path, *arguments, **named):
        path = Path("/dev/full") if path.name == ".archive.zip.part" else path
        return own_open(path, *arguments, **named)

    monkeypatch.setattr(Path, "open", on_full_disk)
    with pytest.raises(InputError, match="No space left on device"):
        obtain(row(server), tmp_path / "archive.zip", options)
    assert not (tmp_path / "archive.zip").exists()


def refuse(path):
    raise InputError("a backbone", f"{path} with something else", "get another file")


@pytest.fixture
def dropped(options):
    """The right file, put into the inbox by a person."""
    options.inbox.mkdir()
    path = options.inbox / "archive.zip"
    path.write_bytes(CONTENT)
    return path


def test_what_a_person_put_there_is_checked_too(server, options, tmp_path, dropped):
    """The hash of many weights is not known: the content is all that can be looked at."""
    target, seen = tmp_path / "out" / "archive.zip", []
    with pytest.raises(InputError, match=f"{dropped} with something else"):
        obtain(row(server, sha256="", size_bytes=None), target, options, refuse)
    assert not target.exists() and leftovers(target) == [] and dropped.exists()
    obtain(row(server, sha256="", size_bytes=None), target, options, seen.append)
    assert seen == [dropped] and target.read_bytes() == CONTENT
    assert server.requests == []


def test_what_came_and_what_lies_there_is_checked_too(server, options, tmp_path):
    target = tmp_path / "archive.zip"
    server.files["archive.zip"] = Behaviour(CONTENT)
    with pytest.raises(InputError, match="something else"):
        obtain(row(server), target, options, refuse)
    assert not target.exists()
    obtain(row(server), target, options)
    with pytest.raises(Damaged, match=r"something else.*move .* away"):
        obtain(row(server), target, options, refuse)
    assert target.exists()


@pytest.mark.parametrize("known", [1, len(CONTENT) - 1, len(CONTENT) + 1])
@pytest.mark.parametrize("origin", ["inbox", "place"])
def test_another_size_than_the_known_one_is_refused(server, options, tmp_path, known, origin):
    """Where no hash is known the size is what tells; each of the ways a file comes."""
    target = tmp_path / "archive.zip"
    wanted = row(server, sha256="", size_bytes=known)
    if origin == "inbox":
        options.inbox.mkdir()
        (options.inbox / "archive.zip").write_bytes(CONTENT)
    else:
        target.write_bytes(CONTENT)
    with pytest.raises(Damaged, match=rf"archive\.zip: {known} bytes; got .* with {len(CONTENT)}"):
        obtain(wanted, target, options)
    assert target.exists() == (origin == "place")


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("length", [True, False])
def test_a_host_that_sends_another_size_is_refused(server, options, tmp_path, ranges, length):
    server.files["archive.zip"] = Behaviour(CONTENT, ranges=ranges, length=length)
    target = tmp_path / "archive.zip"
    with pytest.raises(Damaged, match=f"{len(CONTENT) - 1} bytes"):
        obtain(row(server, sha256="", size_bytes=len(CONTENT) - 1), target, options)
    assert not target.exists() and leftovers(target) == []


def test_the_known_size_is_compared_to_the_byte():
    known = Download(kind="data", name="a", file="a.zip", size_bytes=7)
    check_size(known, 7, "here")
    for size in (0, 6, 8):
        with pytest.raises(Damaged, match=f"7 bytes; got here with {size}"):
            check_size(known, size, "here")
    unknown = Download(kind="data", name="a", file="a.zip")
    check_size(unknown, 1, "here")
    with pytest.raises(Damaged, match="a file with content"):
        check_size(unknown, 0, "here")


@pytest.mark.parametrize("field", ["sha256", "md5"])
def test_each_known_hash_counts(server, options, tmp_path, field):
    server.files["archive.zip"] = Behaviour(CONTENT)
    other = {"sha256": "0" * 64} if field == "sha256" else {"md5": "0" * 32}
    with pytest.raises(Damaged, match=f"with {field} 0000"):
        obtain(row(server, **other), tmp_path / "archive.zip", options)
