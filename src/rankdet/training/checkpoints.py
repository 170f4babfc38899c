"""Checkpoints: contain only tensors and plain values; written completely or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner.checkpoint import weights_to_cpu
from mmengine.utils import apply_to
from torch import Tensor

from rankdet.errors import InputError
from rankdet.outputs import atomic_path, sync, write_text
from rankdet.training.processes import is_first
from rankdet.training.records import Sessions
from rankdet.training.step import check_state
from rankdet.training.work_dir import POINTER, delete_older
from rankdet.weights.checkpoint_files import (
    named_tensors,
    not_finite,
    read_checkpoint,
    write_weights,
)


class Checkpoints(Hook):
    """Write checkpoints to resume from: complete and finite. The last two are kept.

    With two, one is left if the newest is damaged. They contain only tensors and plain values, for
    weights-only loading; mmengine's smoothed log history consists of other objects and is omitted.

    Args:
        interval: iterations between two checkpoints; None writes one after each epoch.
        run: hash of the run's settings, stored in each checkpoint.
        sessions: of the run, stored in each checkpoint.
        record: file of the training curves; it is flushed to disk before each checkpoint.
        out: the final checkpoint; it may be in the same folder.
    """

    priority = "LOWEST"  # the record of an iteration is written before its checkpoint

    def __init__(
        self, interval: int | None, run: str, sessions: Sessions, record: Path, out: Path
    ) -> None:
        self.interval, self.run, self.sessions = interval, run, sessions
        self.record, self.out = record, out

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Write a checkpoint if one is due."""
        done = runner.iter + 1
        if self.interval and (done % self.interval == 0 or done == runner.max_iters):
            self.save(runner, "iter")

    def after_train_epoch(self, runner) -> None:
        """Write a checkpoint at the end of an epoch."""
        if not self.interval:
            self.save(runner, "epoch")

    def save(self, runner, kind: str, ended: str | None = None) -> None:
        """Write a checkpoint, point at it, and delete those before the last two.

        Args:
            runner: mmengine's.
            kind: "iter", "epoch" or "stopped".
            ended: why the session ends, if it does.

        Raises:
            NotFiniteError: if a number in it is not finite; then nothing is written.
        """
        by_epoch = kind == "epoch"
        iteration = runner.iter if by_epoch else runner.iter + 1
        self.sessions.reach(iteration, ended)
        if not is_first():
            return
        folder = Path(runner.work_dir)
        name = f"{kind}_{runner.epoch + 1 if by_epoch else iteration}.pth"
        if self.record.exists():
            sync(self.record)
        content = self._content(runner, runner.epoch + by_epoch, iteration)
        # To a stream: with a path, torch.save does not report a full disk.
        with atomic_path(folder / name) as part, part.open("wb") as stream:
            torch.save(content, stream)
        write_text(folder / POINTER, name)
        delete_older(folder, folder / name, self.out)

    def _content(self, runner, epoch: int, iteration: int) -> dict:
        """Return the content that mmengine's Runner resumes from."""
        model = getattr(runner.model, "module", runner.model)
        content = {
            "meta": {
                "epoch": epoch,
                "iter": iteration,
                "seed": runner.seed,
                "experiment_name": runner.experiment_name,
                "dataset_meta": runner.train_dataloader.dataset.metainfo,
                "run": self.run,
                "sessions": self.sessions.as_plain(),
            },
            "state_dict": weights_to_cpu(model.state_dict()),
            "optimizer": apply_to(runner.optim_wrapper.state_dict(), torch.is_tensor, Tensor.cpu),
            "param_schedulers": [each.state_dict() for each in runner.param_schedulers],
            "message_hub": _plain_hub(runner.message_hub.state_dict()),
        }
        runner.call_hook("before_save_checkpoint", checkpoint=content)
        check_state({name: content[name] for name in ("state_dict", "optimizer")})
        return content


def _plain_hub(state: dict) -> dict:
    plain = {key: value for key, value in state["runtime_info"].items() if _is_plain(value)}
    return {
        "log_scalars": {},
        "runtime_info": plain,
        "resumed_keys": {k: v for k, v in state["resumed_keys"].items() if k in plain},
    }


def _is_plain(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(item) for item in value)
    if isinstance(value, dict):
        return all(_is_plain(item) for item in value.values())
    return value is None or type(value) in (bool, int, float, str, torch.Tensor)


def publish(source: str | Path, target: str | Path, meta: dict) -> None:
    """Check the weights of a finished training and write them to ``target`` in one step.

    Args:
        source: mmengine's last checkpoint.
        target: the file: {"state_dict": tensors, "meta": plain values}.
        meta: entry, preset, iterations, classes, ...

    Raises:
        InputError: if a weight is not finite.
    """
    state = torch.load(source, map_location="cpu", weights_only=True)["state_dict"]
    if broken := not_finite(state):
        raise InputError(
            "finite weights at the end of training",
            f"{len(broken)} tensors with NaN or inf, first {broken[0]}",
            "lower the learning rate; earlier checkpoints are still in the work directory",
        )
    write_weights(state, target, meta)


def load_weights(
    model: torch.nn.Module, path: str | Path, classes: Sequence[str] | None = None
) -> dict:
    """Load a published checkpoint into ``model``, strictly; return its ``meta``.

    Args:
        model: the entry's model.
        path: the checkpoint.
        classes: class names of the data in label order; a checkpoint trained with other classes is
            refused.

    Raises:
        InputError: if the file is missing, is not a checkpoint, or is of another model or other
            classes.
    """
    path = Path(path)
    if not path.exists():
        raise InputError("a checkpoint", f"no file at {path}", "run `rankdet train` first")
    content = read_checkpoint(path)
    state = named_tensors(content, path)
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise InputError(
            "the checkpoint of this entry under this preset",
            f"{path}: {str(error).splitlines()[-1].strip()}",
            "check --preset, and that the data set has the same classes as in training",
        ) from None
    meta = content.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    _check_classes(meta.get("classes"), classes, path)
    return meta


def _check_classes(trained: Any, wanted: Sequence[str] | None, path: Path) -> None:
    if not trained or wanted is None or list(trained) == list(wanted):
        return
    label = next(
        (k for k, pair in enumerate(zip(trained, wanted, strict=False)) if pair[0] != pair[1]), 0
    )
    raise InputError(
        f"a checkpoint of the data set's {len(wanted)} classes in their order",
        f"{path}, trained on {len(trained)}: label {label} is {trained[label]!r}, not "
        f"{wanted[label]!r}",
        "use a data set with the same category ids and names as in training",
    )
