"""A training can be interrupted, repeated and refused; its artefact is whole or absent."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from rankdet.catalogue.presets import Preset
from rankdet.datasets.digits import prepare_digits
from rankdet.errors import InputError
from rankdet.training import run as run_module
from rankdet.training.checkpoints import load_weights, publish
from rankdet.training.run import Settings, train

TINY = Preset(
    "demo", "for this test", "digits", 4, 2, 64, True, 1e-3, score_threshold=1e-3, workers=0
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepare_digits(tmp_path_factory.mktemp("data") / "digits", 0, 6, 2)


def weights(path):
    return torch.load(path, weights_only=True)["state_dict"]


def test_an_interrupted_training_goes_on_where_it_stopped(digits, tmp_path, monkeypatch):
    entry = "alrp_mmdet_alrp_retinanet_r50_500"
    # A checkpoint after every second step, as a long run has one now and then.
    preset = Preset(**{**vars(TINY), "validations": 2})
    whole = tmp_path / "whole" / "checkpoint.pth"
    train(entry, preset, digits, tmp_path / "work-whole", whole)

    out, work = tmp_path / "cut" / "checkpoint.pth", tmp_path / "work-cut"
    keep = run_module.publish

    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "publish", killed)
    with pytest.raises(KeyboardInterrupt):
        train(entry, preset, digits, work, out)
    assert not out.exists()
    # As if it had been killed after step 2.
    (work / "iter_4.pth").unlink()
    (work / "last_checkpoint").write_text(str(work / "iter_2.pth"))
    monkeypatch.setattr(run_module, "publish", keep)
    record = train(entry, preset, digits, work, out, Settings(resume=True))
    assert record["resumed"] and record["iterations"] == 4
    lines = [json.loads(line) for line in (out.parent / "training.jsonl").open()]
    assert [line["iteration"] for line in lines if "loss" in line] == [1, 2, 3, 4]
    # The self-balancing weight travels in the checkpoint (the official one restarted at 50).
    # Six images in batches of two: it is renewed at step 3, from steps before and after the kill.
    cut, uncut = weights(out), weights(whole)
    for state in (cut, uncut):
        assert state["bbox_head.self_balance.steps"] == 1
        assert state["bbox_head.self_balance.weight"] != 50


def test_a_finished_run_keeps_its_weights_only_and_is_published_again(digits, tmp_path, capfd):
    entry, work = "control_atss_r50", tmp_path / "work"
    out = tmp_path / "out" / "checkpoint.pth"
    first = train(entry, TINY, digits, work, out)
    assert [path.name for path in work.glob("*.pth")] == ["finished.pth"]
    assert (work / "finished.pth").samefile(out)  # no second copy
    before = {path.name: path.read_bytes() for path in out.parent.iterdir()}
    assert set(before) == {"checkpoint.pth", "run.json", "training.jsonl"}
    os.utime(work / "finished.pth", (0, 0))  # it may be older than what the workflow prepared since
    shutil.rmtree(out.parent)  # as Snakemake does with a job that it did not see end
    assert train(entry, TINY, digits, work, out, Settings(resume=True)) == first
    said = capfd.readouterr().err.splitlines()[-1]
    assert said == f"this run already finished in {work}; published again"
    assert {path.name: path.read_bytes() for path in out.parent.iterdir()} == before
    assert out.stat().st_mtime >= (work / "run_settings.json").stat().st_mtime
    with pytest.raises(InputError, match=r"already contains this training; .*--resume.*--restart"):
        train(entry, TINY, digits, work, out)
    assert (work / "finished.pth").samefile(out)
    train(entry, TINY, digits, work, out, Settings(restart=True))
    assert "demo] 4/4 loss" in capfd.readouterr().err.splitlines()[-1]
    assert (work / "finished.pth").samefile(out)


def test_a_run_killed_while_it_is_published_is_trained_no_longer(digits, tmp_path, monkeypatch):
    entry, work = "control_atss_r50", tmp_path / "work"
    out = tmp_path / "out" / "checkpoint.pth"

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run_module.records, "write_json", killed)
        train(entry, TINY, digits, work, out)
    assert (work / "iter_4.pth").exists() and run_module.records.record_of(work) is None
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run_module.records, "write_text", killed)
        train(entry, TINY, digits, work, out, Settings(resume=True))
    assert (work / "iter_4.pth").exists() and run_module.records.record_of(work) is not None
    record = train(entry, TINY, digits, work, out, Settings(resume=True))
    assert record["resumed"] and record["iterations"] == 4
    assert not (work / "iter_4.pth").exists() and (out.parent / "training.jsonl").exists()


def test_where_there_are_no_links_the_weights_are_copied(digits, tmp_path, monkeypatch):
    def refuse(self, target):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    work, out = tmp_path / "work", tmp_path / "out" / "checkpoint.pth"
    train("control_atss_r50", TINY, digits, work, out)
    assert not (work / "finished.pth").samefile(out)
    assert (work / "finished.pth").read_bytes() == out.read_bytes()


def test_an_output_among_the_checkpoints_stays(digits, tmp_path):
    train("control_atss_r50", TINY, digits, tmp_path, tmp_path / "iter_9.pth")
    assert {path.name for path in tmp_path.glob("*.pth")} == {"finished.pth", "iter_9.pth"}


def test_an_output_of_before_among_the_checkpoints_stays(digits, tmp_path, monkeypatch):
    out = tmp_path / "iter_9.pth"
    train("control_atss_r50", TINY, digits, tmp_path, out)
    before = out.read_bytes()
    monkeypatch.setattr(run_module, "publish", lambda *arguments: 1 / 0)
    preset = Preset(**{**vars(TINY), "validations": 4})  # a checkpoint after each step
    with pytest.raises(ZeroDivisionError):
        train("control_atss_r50", preset, digits, tmp_path, out, Settings(restart=True))
    assert out.read_bytes() == before
    assert {path.name for path in tmp_path.glob("*.pth")} == {"iter_3.pth", "iter_4.pth", out.name}


def test_a_changed_run_is_refused_set_aside_or_begun_again(digits, tmp_path, capfd):
    out, work = tmp_path / "out" / "checkpoint.pth", tmp_path / "work"
    train("control_atss_r50", TINY, digits, work, out)
    longer = Preset(**{**vars(TINY), "iterations": 5})
    with pytest.raises(InputError, match=r"train_cfg.max_iters: 4 -> 5.*--restart.*set-aside"):
        train("control_atss_r50", longer, digits, work, out, Settings(resume=True))
    assert (work / "finished.pth").samefile(out)
    record = train(
        "control_atss_r50", longer, digits, work, out, Settings(resume=True, on_change="set-aside")
    )
    assert not record["resumed"] and record["iterations"] == 5
    assert "the previous training was moved to" in capfd.readouterr().err
    assert (work / "old-1" / "finished.pth").is_file()
    record = train("control_atss_r50", TINY, digits, work, out, Settings(restart=True))
    assert record["iterations"] == 4 and (work / "old-1" / "finished.pth").is_file()


def test_nothing_is_published_that_is_not_finite(tmp_path):
    torch.save({"state_dict": {"weight": torch.tensor([1.0, float("nan")])}}, tmp_path / "last.pth")
    with pytest.raises(InputError, match="1 tensors with NaN or inf, first weight"):
        publish(tmp_path / "last.pth", tmp_path / "checkpoint.pth", {})
    assert [path.name for path in tmp_path.iterdir()] == ["last.pth"]


def test_wrong_checkpoints_are_named(tmp_path):
    model = torch.nn.Linear(2, 2)
    with pytest.raises(InputError, match="no file"):
        load_weights(model, tmp_path / "none.pth")
    (tmp_path / "page.pth").write_text("<html>quota exceeded</html>")
    with pytest.raises(InputError, match="checkpoint of tensors"):
        load_weights(model, tmp_path / "page.pth")
    torch.save({"state_dict": {"bias": torch.zeros(2)}, "meta": {}}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="of this entry under this preset"):
        load_weights(model, tmp_path / "other.pth")


class Hostile:
    """Unpickling this would run code."""

    def __reduce__(self):
        return (print, ("executed",))


def test_a_checkpoint_with_code_is_not_executed(tmp_path, capsys):
    torch.save({"state_dict": Hostile()}, tmp_path / "hostile.pth")
    with pytest.raises(InputError, match="checkpoint of tensors"):
        load_weights(torch.nn.Linear(2, 2), tmp_path / "hostile.pth")
    assert "executed" not in capsys.readouterr().out
