"""Truncated at 50 points, flipped at 100 places, killed 20 times: detected or resumed."""

import hashlib
import io
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
import zipfile

import pytest

from rankdet.downloads.obtain import FetchOptions, Folders, fetch_data_set, obtain
from rankdet.downloads.table import Download
from rankdet.downloads.transfer import Progress, TransferSettings
from rankdet.downloads.verify import Damaged
from rankdet.errors import InputError
from tests.reliability.server import Behaviour, FileServer

CONTENT = b"PK\x03\x04" + random.Random(0).randbytes(60_000)
SETTINGS = TransferSettings(connections=2, block=16384, timeout=2.0, attempts=3, pause=0.001)
POINTS = [1, 4, *sorted(random.Random(1).sample(range(5, len(CONTENT)), 48))]
PLACES = random.Random(2).sample(range(8 * len(CONTENT)), 100)


@pytest.fixture(scope="module")
def server():
    server = FileServer()
    yield server
    server.close()


@pytest.fixture
def options(tmp_path):
    return FetchOptions(tmp_path / "inbox", settings=SETTINGS, progress=Progress(None))


def row(server, digits=64):
    sha256 = hashlib.sha256(CONTENT).hexdigest()[:digits]
    return Download(kind="data", name="a", file="a.zip", urls=server.url("a.zip"), sha256=sha256)


def flipped(content, bit):
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_the_points_are_as_many_as_promised():
    assert len(set(POINTS)) == 50 and len(set(PLACES)) == 100


@pytest.mark.parametrize("ranges", [True, False])
def test_a_transfer_truncated_at_50_points_is_resumed(server, options, tmp_path, ranges):
    for point in POINTS:
        server.files["a.zip"] = Behaviour(CONTENT, ranges=ranges, cut_at=max(point, 1))
        target = tmp_path / f"{point}" / "a.zip"
        obtain(row(server), target, options)
        assert target.read_bytes() == CONTENT


def test_a_part_file_truncated_at_50_points_is_not_trusted(server, options, tmp_path):
    for point in POINTS:
        target = tmp_path / f"{point}" / "a.zip"
        part = target.with_name(".a.zip.part")
        stop_half_way(server, options, target)
        content = part.read_bytes()
        part.write_bytes(content[: point * len(content) // len(CONTENT)])
        server.files["a.zip"] = Behaviour(CONTENT)
        obtain(row(server), target, options)
        assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("digits", [64, 8])
def test_a_file_put_there_truncated_at_50_points_is_refused(server, options, tmp_path, digits):
    options.inbox.mkdir()
    dropped, target = options.inbox / "a.zip", tmp_path / "a.zip"
    for point in POINTS:
        dropped.write_bytes(CONTENT[:point])
        with pytest.raises(Damaged, match=str(dropped)):
            obtain(row(server, digits), target, options)
        assert not target.exists()
    dropped.write_bytes(CONTENT)
    obtain(row(server, digits), target, options)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("digits", [64, 8])
def test_a_transfer_flipped_at_100_places_is_refused(server, options, tmp_path, digits):
    target = tmp_path / "a.zip"
    for bit in PLACES:
        server.files["a.zip"] = Behaviour(flipped(CONTENT, bit))
        with pytest.raises(Damaged, match=r"a damaged or another file|begin b"):
            obtain(row(server, digits), target, options)
        assert not target.exists() and not target.with_name(".a.zip.part").exists()


def test_a_part_file_flipped_at_100_places_is_detected_and_fetched_anew(server, options, tmp_path):
    for bit in PLACES:
        target = tmp_path / f"{bit}" / "a.zip"
        part = target.with_name(".a.zip.part")
        stop_half_way(server, options, target)
        content = part.read_bytes()
        part.write_bytes(flipped(content, bit % (8 * len(content))))
        server.files["a.zip"] = Behaviour(CONTENT)
        obtain(row(server), target, options)
        assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("known", [64, 0])
def test_a_file_in_place_flipped_at_100_places_is_named(server, options, tmp_path, known):
    """Also where nobody published a hash: the one of the first fetch was noted."""
    server.files["a.zip"] = Behaviour(CONTENT)
    target = tmp_path / "a.zip"
    obtain(row(server, known), target, options)
    for bit in PLACES:
        target.write_bytes(flipped(CONTENT, bit))
        with pytest.raises(InputError, match=f"{target}.*move .* away"):
            obtain(row(server, known), target, options)


def stop_half_way(server, options, target):
    """Leave a part file with about half the bytes."""
    server.files["a.zip"] = Behaviour(CONTENT, cut_after=[16384] * 2 + [0] * 99)
    with pytest.raises(InputError):
        obtain(row(server), target, options)
    assert target.with_name(".a.zip.part").stat().st_size > 0 and not target.exists()


def archive(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in members.items():
            out.writestr(zipfile.ZipInfo(name), content)
    return stream.getvalue()


def small_coco(server):
    """Three archives in COCO's layout, and their rows."""
    rng = random.Random(3)
    images = {f"val2017/{i:012d}.jpg": rng.randbytes(9000) for i in range(40)}
    instances = json.dumps({"images": [], "annotations": [rng.random() for _ in range(4000)]})
    contents = {
        "train2017.zip": archive({f"train2017/{i:012d}.jpg": rng.randbytes(999) for i in (1, 2)}),
        "val2017.zip": archive(images),
        "annotations.zip": archive(
            {f"annotations/instances_{s}2017.json": instances for s in ("train", "val")}
        ),
    }
    members = {
        "train2017.zip": ("train2017/*.jpg", 2),
        "val2017.zip": ("val2017/*.jpg", 40),
        "annotations.zip": (
            "annotations/instances_train2017.json annotations/instances_val2017.json",
            2,
        ),
    }
    rows = []
    for name, content in contents.items():
        server.files[name] = Behaviour(content)
        rows.append(
            Download(
                kind="data",
                name=f"coco/{name.split('.')[0]}",
                file=name,
                urls=server.url(name),
                size_bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
                members=members[name][0],
                count=members[name][1],
            )
        )
    return rows


def fetch_small(rows, folder):
    """What is killed; in a process of its own."""
    options = FetchOptions(folder / "inbox", settings=SETTINGS, progress=Progress(None))
    folders = Folders(folder / "coco", folder / "archives")
    fetch_data_set(rows, folders, options, folder / "coco.sha256")


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }


def test_a_fetch_killed_20_times_resumes_and_ends_identical(server, tmp_path):
    rows = small_coco(server)
    (tmp_path / "whole").mkdir()
    fetch_small(rows, tmp_path / "whole")
    size = sum(row.size_bytes for row in rows)

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    killed = tmp_path / "killed"
    killed.mkdir()
    for row in rows:
        server.files[row.file].delay = 0.004
    kills, phases, rng = 0, set(), random.Random(4)
    server.sent = 0
    while kills < 20:
        # At a time that is told by the bytes that came, so that a busy machine changes nothing.
        until = server.sent + rng.uniform(0.1, 1.5) * size / 20
        process = context.Process(target=fetch_small, args=(rows, killed))
        process.start()
        # Each second kill waits for a transfer under way: on a busy machine the reader lags.
        while process.is_alive() and (
            server.sent < until or (kills % 2 and not any(killed.rglob("*.zip.part")))
        ):
            time.sleep(0.001)
        if not process.is_alive():  # it came to its end: begin anew, with the next of the 20
            shutil.rmtree(killed)
            killed.mkdir()
            server.sent = 0
            continue
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        kills += 1
        phases.add(tuple(sorted(name for name in tree(killed) if name.endswith(".zip.part"))))
        for row in rows:
            # Whatever stands under its final name is whole.
            done = killed / "archives" / row.file
            assert not done.exists() or done.read_bytes() == server.files[row.file].content
        images = killed / "coco" / "val2017"
        assert not images.exists() or len(list(images.iterdir())) == 40
    assert any(phases), "no kill met a transfer under way"
    for row in rows:
        server.files[row.file].delay = 0.0
    fetch_small(rows, killed)
    assert tree(killed) == tree(tmp_path / "whole")
    # Not begun anew each time: a kill costs the blocks under way and the probe.
    assert server.sent < size + 21 * (2 * SETTINGS.block + 4096)
