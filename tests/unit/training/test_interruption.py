"""A training stopped in the middle of an epoch continues there; several processes share a batch."""

import json
import os
import signal
import subprocess
import sys

import pytest
from mmengine.config import Config, ConfigDict

from rankdet.catalogue.presets import Preset
from rankdet.cluster.lock import locked
from rankdet.datasets.digits import prepare_digits
from rankdet.errors import InputError
from rankdet.training import run as run_module
from rankdet.training.interruption import Interrupted
from rankdet.training.loops import PlacedBatches
from rankdet.training.processes import share_batch
from rankdet.training.record import TrainingRecord
from rankdet.training.run import Settings, train

TINY = Preset("demo", "for this test", "digits", 8, 2, 64, True, 1e-3, 1e-3, workers=0)
ENTRY = "control_atss_r50"


@pytest.fixture(autouse=True)
def signals_of_a_terminal():
    """In a job in the background a shell lets SIGINT be ignored, and then it stays ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepare_digits(tmp_path_factory.mktemp("data") / "digits", 0, 8, 2)


def by_epoch(monkeypatch):
    """Let the tiny preset run two epochs of four steps, as preset paper runs its own."""
    resolve, hooks = run_module.resolve, run_module._set_hooks

    def resolved(*arguments):
        config = resolve(*arguments)
        config.train_cfg = ConfigDict(type="EpochBasedTrainLoop", max_epochs=2, val_interval=2)
        config.train_dataloader.sampler = ConfigDict(type="DefaultSampler", shuffle=True)
        return config

    monkeypatch.setattr(run_module, "resolve", resolved)
    epochs = Preset(**{**vars(TINY), "iterations": None})
    monkeypatch.setattr(
        run_module,
        "_set_hooks",
        lambda config, preset, *rest: hooks(config, epochs, *rest),
    )


def losses(folder):
    lines = [json.loads(line) for line in (folder / "training.jsonl").open()]
    return {line["iteration"]: line["loss"] for line in lines if "loss" in line}


def test_a_signal_in_mid_epoch_loses_nothing(digits, tmp_path, monkeypatch):
    by_epoch(monkeypatch)
    train(ENTRY, TINY, digits, tmp_path / "whole", tmp_path / "a" / "checkpoint.pth")
    told = TrainingRecord.after_train_iter

    def tell(self, runner, *arguments, **named):
        told(self, runner, *arguments, **named)
        if runner.iter + 1 == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(TrainingRecord, "after_train_iter", tell)
    work, out = tmp_path / "cut", tmp_path / "b" / "checkpoint.pth"
    with pytest.raises(Interrupted, match="SIGTERM: saved at iteration 6 of 8"):
        train(ENTRY, TINY, digits, work, out)
    assert [path.name for path in work.glob("stopped_*")] == ["stopped_6.pth"]
    monkeypatch.setattr(TrainingRecord, "after_train_iter", told)
    record = train(ENTRY, TINY, digits, work, out, Settings(resume=True))
    assert record["resumed"] and record["iterations"] == 8
    whole, cut = losses(tmp_path / "a"), losses(tmp_path / "b")
    assert list(cut) == [1, 2, 3, 4, 5, 6, 7, 8]
    for iteration, loss in whole.items():
        assert cut[iteration] == loss


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
def test_other_signals_save_too_and_handlers_come_back(digits, tmp_path, monkeypatch, number):
    told = TrainingRecord.after_train_iter

    def tell(self, runner, *arguments, **named):
        told(self, runner, *arguments, **named)
        if runner.iter + 1 == 2:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(TrainingRecord, "after_train_iter", tell)
    before = signal.getsignal(number)
    work = tmp_path / "work"
    with pytest.raises(Interrupted, match=f"{number.name}: saved at iteration 2 of 8"):
        train(ENTRY, TINY, digits, work, tmp_path / "c.pth")
    assert (work / "last_checkpoint").read_text() == "stopped_2.pth"
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_ends_at_once(digits, tmp_path, monkeypatch):
    def tell(self, runner, *arguments, **named):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(TrainingRecord, "after_train_iter", tell)
    with pytest.raises(KeyboardInterrupt):
        train(ENTRY, TINY, digits, tmp_path / "work", tmp_path / "c.pth")
    assert not list((tmp_path / "work").glob("*.pth"))


def test_an_ignored_ctrl_c_stays_ignored(digits, tmp_path, monkeypatch):
    def tell(self, runner, *arguments, **named):
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(TrainingRecord, "after_train_iter", tell)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        record = train(ENTRY, TINY, digits, tmp_path / "work", tmp_path / "c.pth")
    finally:
        signal.signal(signal.SIGINT, before)
    assert record["iterations"] == 8


def test_a_second_training_in_a_work_directory_is_refused(digits, tmp_path):
    command = [sys.executable, "-c", "import rankdet.cli; rankdet.cli.main()", "train", ENTRY]
    command += ["--preset", "demo", "--data", digits.folder, "--work-dir", tmp_path / "work"]
    command += ["--out", tmp_path / "out" / "checkpoint.pth"]
    with locked(tmp_path / "work"):
        run = subprocess.run(command, text=True, capture_output=True)
    assert run.returncode == 2 and "is still running" in run.stderr
    assert not (tmp_path / "out").exists()


def test_the_rest_of_an_epoch_skips_what_was_seen():
    later = PlacedBatches([[1, 2], [3, 4], [5]], epoch=7, first=1, slot=2)
    assert list(later) == [[(3, 7, 1, 2), (4, 7, 1, 3)], [(5, 7, 2, 2)]]


def config_of(pool=None):
    head = dict(pool_images=pool) if pool else {}
    return Config(dict(model=dict(bbox_head=head), train_dataloader=dict(batch_size=0)))


@pytest.mark.parametrize(("world", "own"), [(1, 16), (2, 8), (4, 4)])
def test_a_batch_is_shared_out_in_whole_pools(world, own, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    config = config_of(pool=4)
    share_batch(config, 16, world)
    assert config.train_dataloader.batch_size == own


def test_passes_share_out_pools_too(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    config = config_of(pool=4)
    config.model.bbox_head.self_balance = dict(period=100)
    share_batch(config, 16, 2, passes=2)
    assert config.train_dataloader.batch_size == 8
    assert config.model.bbox_head.self_balance == dict(period=100, passes=2, reduce=True)
    with pytest.raises(InputError, match=r"2 or 4 processes times passes .* got 2 times 4"):
        share_batch(config_of(pool=4), 16, 2, passes=4)


def test_images_of_one_orientation_stay_those_of_an_official_gpu(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    config = config_of()
    config.train_dataloader = dict(batch_size=4, batch_sampler=dict(type="GroupBatchSampler"))
    share_batch(config, 16, 2)
    assert config.train_dataloader.batch_size == 8
    assert config.train_dataloader.batch_sampler.group_images == 4


def test_a_pool_is_not_cut():
    with pytest.raises(InputError, match="1 or 2 or 4 processes for 16 images per step, ranked 4"):
        share_batch(config_of(pool=4), 16, 8)
    possible = "1 or 2 or 4 or 8 or 16 processes for 16 images per step;"
    with pytest.raises(InputError, match=possible):
        share_batch(config_of(), 16, 3)
