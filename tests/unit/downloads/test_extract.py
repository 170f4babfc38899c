"""Archives: what is wanted comes out, nothing else, and nowhere else."""

import hashlib
import io
import stat
import zipfile

import pytest

from rankdet.downloads import extract as module
from rankdet.downloads.extract import extract, require_room
from rankdet.downloads.obtain import FetchOptions, Folders, fetch_data_set, present
from rankdet.downloads.table import Download
from rankdet.downloads.transfer import Progress
from rankdet.errors import InputError


def row(content=b"PK\x03\x04", **facts):
    known = {"members": "val2017/*.jpg", "count": 2, **facts}
    sha256 = hashlib.sha256(content).hexdigest()
    return Download(kind="data", name="coco/val", file="val2017.zip", sha256=sha256, **known)


def archive(path, members, link=None):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in members:
            out.writestr(name, content)
        if link:
            info = zipfile.ZipInfo(link)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            out.writestr(info, "/etc/passwd")
    return path


GOOD = [("val2017/", ""), ("val2017/1.jpg", b"one"), ("val2017/2.jpg", b"two")]


def test_takes_out_what_is_wanted(tmp_path):
    path = archive(tmp_path / "val2017.zip", [*GOOD, ("val2017/readme.txt", "no")])
    files = extract(row(), path, tmp_path / "out")
    assert [file.name for file in files] == ["1.jpg", "2.jpg"]
    assert sorted(p.name for p in (tmp_path / "out" / "val2017").iterdir()) == ["1.jpg", "2.jpg"]


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "val2017/../../evil.jpg", "/evil.jpg", "C:/evil.jpg", "a\\..\\b.jpg"]
)
def test_no_path_escapes(tmp_path, name):
    path = archive(tmp_path / "val2017.zip", [*GOOD, (name, b"evil")])
    with pytest.raises(InputError, match="leads out of it"):
        extract(row(), path, tmp_path / "deep" / "out")
    assert not list(tmp_path.rglob("*evil*")) and not list(tmp_path.rglob("*.jpg"))


def test_no_link_is_made(tmp_path):
    path = archive(tmp_path / "val2017.zip", GOOD, link="val2017/3.jpg")
    with pytest.raises(InputError, match=r"3\.jpg.*leads out of it"):
        extract(row(), path, tmp_path / "out")


@pytest.mark.parametrize("members", [GOOD[:2], [*GOOD, ("val2017/3.jpg", b"more")]])
def test_another_number_of_files(tmp_path, members):
    path = archive(tmp_path / "val2017.zip", members)
    with pytest.raises(InputError, match=r"2 files val2017/\*\.jpg"):
        extract(row(), path, tmp_path / "out")


def test_a_damaged_member_is_named(tmp_path):
    path = archive(tmp_path / "val2017.zip", GOOD)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as source:
        info = source.getinfo("val2017/2.jpg")
    content[info.header_offset + 30 + len(info.filename) + 1] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a whole zip archive"):
        extract(row(), path, tmp_path / "out")


def test_not_an_archive(tmp_path):
    path = tmp_path / "val2017.zip"
    path.write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(InputError, match="fetch it again"):
        extract(row(), path, tmp_path / "out")


def test_too_little_disk(tmp_path):
    with pytest.raises(InputError, match=r"GiB of free disk in .* to unpack"):
        require_room(tmp_path / "not" / "made", 1 << 60, "unpack")


@pytest.fixture
def options(tmp_path):
    return FetchOptions(tmp_path / "inbox", progress=Progress(None))


def in_inbox(options, members):
    stream = io.BytesIO()
    archive(stream, members)
    options.inbox.mkdir(exist_ok=True)
    (options.inbox / "val2017.zip").write_bytes(stream.getvalue())
    return row(stream.getvalue())


def test_nothing_stands_under_its_name_after_a_failed_extraction(tmp_path, options, monkeypatch):
    wanted = in_inbox(options, GOOD)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.shutil, "copyfileobj", full)
    folders = Folders(tmp_path / "coco", tmp_path / "archives")
    with pytest.raises(InputError, match="No space left"):
        fetch_data_set([wanted], folders, options, tmp_path / "sums")
    assert list((tmp_path / "coco").iterdir()) == [] and not (tmp_path / "sums").exists()
    monkeypatch.undo()
    fetch_data_set([wanted], folders, options, tmp_path / "sums")
    assert present(wanted, tmp_path / "coco")
    assert [p.name for p in (tmp_path / "archives").iterdir()] == [".val2017.zip.part.lock"]


def test_a_folder_that_is_there_already_is_counted_and_kept(tmp_path, options):
    wanted = row()
    folder = tmp_path / "coco" / "val2017"
    folder.mkdir(parents=True)
    (folder / "1.jpg").write_bytes(b"mine")
    folders = Folders(tmp_path / "coco", tmp_path / "archives")
    with pytest.raises(InputError, match=r"2 files val2017/\*\.jpg in .*; got 1; complete it"):
        fetch_data_set([wanted], folders, options, tmp_path / "sums")
    (folder / "2.jpg").write_bytes(b"mine")
    fetch_data_set([wanted], folders, options, tmp_path / "sums")
    assert (folder / "1.jpg").read_bytes() == b"mine"


def test_the_disk_is_checked_before_the_first_byte(tmp_path, options):
    huge = row(size_bytes=1 << 60, urls="http://127.0.0.1:9/val2017.zip")
    folders = Folders(tmp_path / "coco", tmp_path / "archives")
    with pytest.raises(InputError, match="to fetch and unpack the data set"):
        fetch_data_set([huge], folders, options, tmp_path / "sums")
