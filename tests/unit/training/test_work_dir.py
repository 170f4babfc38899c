"""A work directory is continued by the same run alone, and loses nothing unasked."""

import shutil
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from rankdet.errors import InputError
from rankdet.training.work_dir import begin, differences, newest_whole, run_settings, settings_hash

CONFIG = {
    "model": {"lr_mult": 1, "init_cfg": {"type": "Pretrained", "checkpoint": "/a/r50.pth"}},
    "train_dataloader": {"num_workers": 2, "dataset": {"ann_file": "/a/x.json", "size": (8, 8)}},
    "work_dir": "/a/place",
}


def settings_of(
    seed=0, train="a", val="b", weights="w", classes=("x", "y"), run=("entry", "demo"), **parts
):
    split = SimpleNamespace(sha256=train), SimpleNamespace(sha256=val)
    data = SimpleNamespace(train=split[0], val=split[1], classes=classes)
    return run_settings(Config(CONFIG | parts), data, *run, seed, {"file": "f", "sha256": weights})


SETTINGS = settings_of()
RUN = settings_hash(SETTINGS)


def ready(folder, settings=SETTINGS, **options):
    return begin(folder, settings, "mark", folder.parent / "out.pth", **options)


def save(path, iteration, value=1.0, run=RUN):
    meta = {"iter": iteration} | ({"run": run} if run else {})
    torch.save({"meta": meta, "state_dict": {"weight": torch.tensor([value])}}, path)


@pytest.fixture
def begun(tmp_path):
    """A work directory with two checkpoints of a run."""
    work = tmp_path / "work"
    ready(work)
    save(work / "iter_2.pth", 2)
    save(work / "iter_4.pth", 4)
    (work / "last_checkpoint").write_text("/another/place/then/iter_4.pth")
    return work


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_paths_and_loading_are_no_settings():
    other = {
        "model": {"lr_mult": 1, "init_cfg": {"type": "Pretrained", "checkpoint": "/b/r50.pth"}},
        "train_dataloader": {"num_workers": 9, "dataset": {"ann_file": "y", "size": [8, 8]}},
        "val_dataloader": {"batch_size": 7},
        "work_dir": "elsewhere",
    }
    assert settings_of(**other) == SETTINGS


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (dict(seed=1), "seed: 0 -> 1"),
        (dict(train="c"), 'data.train_sha256: "a" -> "c"'),
        (dict(val="c"), 'data.val_sha256: "b" -> "c"'),
        (dict(run=("other", "demo")), 'entry: "entry" -> "other"'),
        (dict(run=("entry", "mini")), 'preset: "demo" -> "mini"'),
        (dict(weights="v"), 'start_weights: "w" -> "v"'),
        (dict(classes=("y", "x")), 'data.classes.0: "x" -> "y"'),
        (dict(model={"lr_mult": 2}), "config.model.lr_mult: 1 -> 2"),
    ],
    ids=str,
)
def test_other_settings_are_refused_and_named(begun, change, told):
    before = files(begun)
    with pytest.raises(InputError) as caught:
        ready(begun, settings_of(**change), resume=True)
    assert told in str(caught.value) and "--restart" in str(caught.value)
    assert files(begun) == before


def test_many_differences_are_counted():
    told = differences(SETTINGS, settings_of(seed=1, train="c", weights="v", model={"m": "n" * 99}))
    assert told.count("->") == 3 and told.endswith("more") and len(told) < 300


def test_a_moved_directory_continues(begun):
    moved = begun.rename(begun.with_name("moved"))
    assert ready(moved, resume=True) == moved / "iter_4.pth"
    copied = begun.parent / "deeper" / "copy"
    shutil.copytree(moved, copied)
    assert ready(copied, resume=True) == copied / "iter_4.pth"


def test_without_resume_or_restart_nothing_happens(begun):
    before = files(begun)
    with pytest.raises(
        InputError, match=r"continue it with --resume, or delete it and start again with --restart"
    ):
        ready(begun)
    with pytest.raises(InputError, match="--resume or --restart"):
        ready(begun, resume=True, restart=True)
    assert files(begun) == before
    assert ready(begun, restart=True) is None
    assert set(files(begun)) == {"run_settings.json"}


def test_a_changed_run_is_set_aside_again_and_again(begun):
    for number in (1, 2):
        assert ready(begun, settings_of(seed=number), resume=True, on_change="set-aside") is None
        assert (begun / f"old-{number}" / "run_settings.json").is_file()
        save(begun / "iter_2.pth", 2)
    assert (begun / "old-1" / "iter_4.pth").is_file()


@pytest.mark.parametrize("pointer", ["", "   \n", "iter_6.pth", "\0", None, "../iter_2.pth/.."])
def test_without_a_pointer_the_newest_whole_one_is_taken(begun, pointer):
    (begun / "last_checkpoint").unlink()
    if pointer is not None:
        (begun / "last_checkpoint").write_text(pointer)
    assert ready(begun, resume=True) == begun / "iter_4.pth"


def test_the_pointer_wins_over_a_newer_checkpoint(begun):
    (begun / "last_checkpoint").write_text("iter_2.pth")
    assert ready(begun, resume=True) == begun / "iter_2.pth"


@pytest.mark.parametrize("damage", ["torn", "empty", "nan", "inf"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(begun, damage, capsys):
    path = begun / "iter_4.pth"
    if damage in ("nan", "inf"):
        save(path, 4, float(damage))
    else:
        path.write_bytes(path.read_bytes()[:-200] if damage == "torn" else b"")
    assert ready(begun, resume=True) == begun / "iter_2.pth"
    assert "continuing from iter_2.pth" in capsys.readouterr().err


def test_if_all_are_damaged_it_begins_again_but_not_with_nan(begun, capsys):
    for name in ("iter_2.pth", "iter_4.pth"):
        (begun / name).write_bytes(b"PK")
    assert ready(begun, resume=True) is None
    assert "training starts from the beginning" in capsys.readouterr().err
    save(begun / "iter_2.pth", 2, float("nan"))
    with pytest.raises(InputError, match="lower the learning rate"):
        newest_whole(begun)


@pytest.mark.parametrize("name", ["epoch_12.pth", "last_checkpoint", "training.jsonl"])
@pytest.mark.parametrize("options", [{}, {"resume": True}, {"restart": True}], ids=str)
def test_files_of_others_are_not_touched(tmp_path, name, options):
    """As of mmdet's own training, in a folder that is named by mistake."""
    work = tmp_path / "work"
    work.mkdir()
    save(work / "epoch_12.pth", 12, run=None)
    (work / name).touch()
    before = files(work)
    with pytest.raises(InputError, match="which no training here wrote"):
        ready(work, **options)
    assert files(work) == before


def test_a_model_of_others_beside_a_run_stays(begun):
    save(begun / "epoch_12.pth", 12, run=None)
    with pytest.raises(InputError, match=r"epoch_12.pth.*move that file"):
        ready(begun, restart=True)
    assert (begun / "epoch_12.pth").is_file()


def test_a_run_of_an_earlier_version_continues_if_it_is_known(begun):
    (begun / "run_settings.json").unlink()
    (begun / "run_fingerprint").write_text("another")
    save(begun / "iter_4.pth", 4, run=None)
    with pytest.raises(InputError, match="by an earlier version"):
        ready(begun, resume=True)
    (begun / "run_fingerprint").write_text("mark")
    assert ready(begun, resume=True) == begun / "iter_4.pth"
