"""`rankdet fetch` by hand, against a server of the test and tables that point to it."""

import csv
import hashlib
import io
import shutil
import zipfile

import pytest
import torch
from typer.testing import CliRunner

from rankdet.cli.app import app
from rankdet.cli.fetch import fetch
from rankdet.errors import InputError
from rankdet.hashing import check_sums, read_sums
from rankdet.paths import configs_dir
from tests.reliability.server import Behaviour, FileServer

assert fetch is not None  # registers the verb


@pytest.fixture(scope="module")
def server():
    server = FileServer()
    yield server
    server.close()


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """The catalogue with a downloads.csv of its own, in an empty working directory."""
    folder = tmp_path / "configs"
    folder.mkdir()
    for name in ("experiments.csv", "published.csv", "downloads.csv", "checkpoints.csv"):
        shutil.copy(configs_dir() / name, folder)
    shutil.copytree(configs_dir() / "official", folder / "official")
    monkeypatch.setenv("RANKDET_CONFIGS", str(folder))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return folder


def change(tables, row_name, **cells):
    path = tables / "downloads.csv"
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        if row["name"] == row_name:
            row.update({key: str(value) for key, value in cells.items()})
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def run(*arguments):
    """Run the command; a user's mistake is raised as `main` sees it."""
    outcome = CliRunner().invoke(app, ["fetch", *map(str, arguments)])
    if outcome.exception and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


def serve(server, tables, row_name, content, **cells):
    """Serve ``content`` as the file of a row, with its hash in the table."""
    name = row_name.replace("/", "-")
    server.files[name] = Behaviour(content)
    facts = {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "md5": ""}
    change(tables, row_name, **{"urls": server.url(name), **facts, **cells})


def archive(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as out:
        for name, content in members.items():
            out.writestr(name, content)
    return stream.getvalue()


def backbone(**tensors):
    stream = io.BytesIO()
    torch.save({"conv1.weight": torch.ones(3), **tensors}, stream)
    return stream.getvalue()


def test_coco(server, tables, tmp_path):
    instances = {f"annotations/instances_{s}2017.json": f'"{s}"' for s in ("train", "val")}
    others = {"annotations/captions_val2017.json": "{}"}
    serve(server, tables, "coco/annotations", archive({**instances, **others}))
    for split, count in (("train", 3), ("val", 2)):
        images = {f"{split}2017/{i}.jpg": b"jpg" for i in range(count)}
        serve(server, tables, f"coco/{split}", archive(images), count=count)
    assert "is complete" in run("coco")
    root = tmp_path / "work/data/coco"
    assert len(list((root / "train2017").iterdir())) == 3
    names = sorted(path.name for path in (root / "annotations").iterdir())
    assert names == ["instances_train2017.json", "instances_val2017.json"]
    sums = read_sums(tmp_path / "work/data/downloads/coco.sha256")
    assert len(sums) == 2
    check_sums(root, sums, "coco.sha256")
    # The archives are gone, and a second call transfers nothing.
    assert not list((tmp_path / "work/data/downloads").glob("*.zip"))
    server.requests.clear()
    run("coco")
    assert server.requests == []
    (root / "annotations/instances_val2017.json").write_text("[]")
    with pytest.raises(InputError, match=r"instances_val2017\.json .*the file has changed"):
        check_sums(root, sums, "coco.sha256")


def test_lvis(server, tables, tmp_path):
    for split in ("train", "val"):
        serve(server, tables, f"lvis/{split}", archive({f"lvis_v1_{split}.json": "{}"}))
    run("lvis", "--keep-archives")
    assert (tmp_path / "work/data/coco/annotations/lvis_v1_val.json").read_text() == "{}"
    assert (tmp_path / "work/data/downloads/lvis_v1_val.json.zip").exists()


def test_a_backbone(server, tables, tmp_path):
    serve(server, tables, "resnet50", backbone())
    assert "sha256" in run("backbone", "resnet50")
    assert (tmp_path / "work/data/backbones/resnet50-19c8e357.pth").exists()


def test_a_backbone_that_is_none(server, tables, tmp_path):
    serve(server, tables, "resnet50", backbone(**{"conv1.weight": torch.full((3,), float("inf"))}))
    with pytest.raises(InputError, match="NaN or inf"):
        run("backbone", "resnet50")
    folder = tmp_path / "work/data/backbones"
    assert [path.name for path in folder.iterdir()] == [".resnet50-19c8e357.pth.part.lock"]


def test_a_backbone_by_hand(server, tables, tmp_path):
    with pytest.raises(InputError, match=r"open https://1drv\.ms/.* save the file as data/inbox/"):
        run("backbone", "resnet50_caffe")
    inbox = tmp_path / "work/data/inbox"
    inbox.mkdir()
    dropped = inbox / "resnet50-pytorch.pth"
    dropped.write_text("<html><title>Sign in</title></html>")
    with pytest.raises(InputError, match=r"an HTML page \(Sign in\)"):
        run("backbone", "resnet50_caffe")
    dropped.write_bytes(backbone())
    run("backbone", "resnet50_caffe")
    target = tmp_path / "work/data/backbones/resnet50-pytorch.pth"
    assert target.read_bytes() == dropped.read_bytes()
    # Nobody published its hash: the noted one guards it from now on.
    target.write_bytes(backbone(more=torch.zeros(1)))
    with pytest.raises(InputError, match="recorded at the first fetch"):
        run("backbone", "resnet50_caffe")


def test_a_mirror(server, tables, tmp_path):
    serve(server, tables, "resnet50", backbone(), urls="http://127.0.0.1:9/none.pth")
    server.files["mine/resnet50-19c8e357.pth"] = server.files.pop("resnet50")
    run("backbone", "resnet50", "--mirror", server.url("mine"))
    assert (tmp_path / "work/data/backbones/resnet50-19c8e357.pth").exists()


def test_cityscapes(tables, tmp_path):
    told = run("cityscapes-help")
    for part in ("register", "leftImg8bit_trainvaltest.zip", "gtFine_trainvaltest.zip", "inbox"):
        assert part in told
    inbox = tmp_path / "work/data/inbox"
    inbox.mkdir()
    (inbox / "leftImg8bit_trainvaltest.zip").write_bytes(
        archive({"leftImg8bit/train/a/1.png": b"png", "leftImg8bit/val/b/2.png": b"png"})
    )
    with pytest.raises(InputError, match="3475 files"):
        run("cityscapes-help")
    change(tables, "cityscapes/images", count=2)
    assert "gtFine_trainvaltest.zip is not in" in run("cityscapes-help")
    assert (tmp_path / "work/data/cityscapes/leftImg8bit/val/b/2.png").exists()
    fine = {
        "gtFine/train/a/1_gtFine_instanceIds.png": b"",
        "gtFine/val/b/2_gtFine_instanceIds.png": b"",
    }
    (inbox / "gtFine_trainvaltest.zip").write_bytes(archive(fine))
    change(tables, "cityscapes/fine", count=2)
    assert "is complete" in run("cityscapes-help")
