"""A training resumed with another division of its step ends in the same weights."""

import json
import os
import shutil
import signal
import socket
import traceback

import pytest
import torch

from rankdet.catalogue.presets import Preset
from rankdet.cluster.slurm import ARGUMENTS
from rankdet.training import run as run_module
from rankdet.training.interruption import Interrupted
from rankdet.training.run import Settings, train
from rankdet.training.shrink import nodes
from tests.reliability.runs import after_each_step, data_of, gentle_rate, record_of

# Four images of a pool each: 1, 2 or 4 processes, with as many passes as make four parts.
PRESET = Preset(
    *("rehearsal", "for this test", "drawn"),
    batch_size=4,
    pool_images=1,
    small_network=True,
    shrink=16,
    epochs=2,
)
ROWS = ("alrp_mmdet_alrp_retinanet_r50_500", "rs_mask_r50")
STOP = 2


def layout(entry_id, data, folder, world, passes):
    """Train on in ``world`` processes of ``passes``; each is forked, with everything imported."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(world):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                if world > 1:
                    os.environ.update(
                        {
                            **{"RANK": str(rank), "WORLD_SIZE": str(world), ARGUMENTS: "[]"},
                            **{"LOCAL_RANK": str(rank), "MASTER_ADDR": "localhost"},
                            "MASTER_PORT": str(port),
                        }
                    )
                torch.set_num_threads(1)
                resumed(entry_id, data, folder, passes)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert codes == [0] * world
    weights = torch.load(folder / "out" / "checkpoint.pth")["state_dict"]
    return weights, record_of(folder / "out"), json.loads((folder / "out" / "run.json").read_text())


def resumed(entry_id, data, folder, passes):
    out = folder / "out" / "checkpoint.pth"
    named = dict(threads=1, workers=0, resume=True, passes=passes)
    with gentle_rate():
        train(entry_id, PRESET, data, folder / "work", out, Settings(**named))


def official_gpus(monkeypatch):
    """Let the official run have had four GPUs, an image each, and norm layers that do not learn.

    A training from scratch would learn statistics of each pass.
    """
    own = run_module.resolve

    def resolve(*arguments):
        config = own(*arguments)
        config.model.backbone.norm_eval = True
        config.train_dataloader.batch_size = 1
        for node in nodes(config.model):
            if "self_balance" in node:
                node.self_balance.period = 3  # is renewed after the resume, from steps before it
        return config

    monkeypatch.setattr(run_module, "resolve", resolve)


@pytest.mark.parametrize(
    ("world", "passes"), [(2, 2), pytest.param(4, 1, marks=pytest.mark.heavy)], ids=["2x2", "4x1"]
)
@pytest.mark.parametrize("entry_id", ROWS)
def test_other_processes_continue(entry_id, world, passes, tmp_path, monkeypatch):
    official_gpus(monkeypatch)
    data = data_of(entry_id, tmp_path)

    def stop(runner):
        if runner.iter + 1 == STOP:
            os.kill(os.getpid(), signal.SIGTERM)

    with after_each_step(stop), pytest.raises(Interrupted):
        resumed(entry_id, data, tmp_path / "one", 4)
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    weights, record, run = layout(entry_id, data, tmp_path / "one", 1, 4)
    others, other, run_of_other = layout(entry_id, data, tmp_path / "other", world, passes)
    assert (run["processes"], run["passes"]) == (1, 4)
    assert (run_of_other["processes"], run_of_other["passes"]) == (world, passes)
    assert [session["processes"] for session in run_of_other["sessions"]] == [1, world]
    assert run["iterations"] >= STOP + 4
    for name, weight in weights.items():
        torch.testing.assert_close(others[name], weight, rtol=0, atol=1e-6, msg=name)
    for one, two in zip(record, other, strict=True):
        if "loss" in one:
            assert two == pytest.approx(one, rel=1e-6, abs=1e-7)
