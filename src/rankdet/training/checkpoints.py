"""Checkpoints: read with tensors and a few known types only, published whole or not at all."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from rankdet.data.checkpoint_files import read_checkpoint
from rankdet.data.fetch.weights import named_tensors
from rankdet.errors import InputError
from rankdet.outputs import atomic_path


@HOOKS.register_module()
class PlainCheckpoint(Hook):
    """Keep only tensors and plain values in checkpoints, so that weights-only loading takes them.

    mmengine stores its smoothed log history as objects of its own, which torch >= 2.6 refuses to
    unpickle on resume. The history only smooths what the log prints; it starts anew.

    Args:
        run: hash of the run's settings, which each checkpoint then names.
    """

    def __init__(self, run: str | None = None) -> None:
        self.run = run

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Drop the log history from ``checkpoint`` and note its run."""
        if self.run is not None:
            checkpoint["meta"]["run"] = self.run
        hub = checkpoint.get("message_hub")
        if hub is not None:
            plain = {key: value for key, value in hub["runtime_info"].items() if _is_plain(value)}
            checkpoint["message_hub"] = {
                "log_scalars": {},
                "runtime_info": plain,
                "resumed_keys": {k: v for k, v in hub["resumed_keys"].items() if k in plain},
            }


def _is_plain(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(item) for item in value)
    if isinstance(value, dict):
        return all(_is_plain(item) for item in value.values())
    return value is None or type(value) in (bool, int, float, str, torch.Tensor)


def publish(source: str | Path, target: str | Path, meta: dict) -> None:
    """Keep the weights of a finished training, check them, move them to ``target`` in one step.

    Args:
        source: mmengine's last checkpoint.
        target: the artefact: {"state_dict": tensors, "meta": plain values}.
        meta: entry, preset, iterations, classes, ...

    Raises:
        InputError: if a weight is not finite.
    """
    state = torch.load(source, map_location="cpu", weights_only=True)["state_dict"]
    broken = [
        name
        for name, value in state.items()
        if value.is_floating_point() and not value.isfinite().all()
    ]
    if broken:
        raise InputError(
            "finite weights at the end of training",
            f"{len(broken)} tensors with NaN or inf, first {broken[0]}",
            "lower the learning rate; the work directory keeps the earlier checkpoints",
        )
    write_weights(state, target, meta)


def write_weights(state: Mapping[str, torch.Tensor], target: str | Path, meta: dict) -> None:
    """Write {"state_dict", "meta"} to ``target`` in one step, after reading it back."""
    with atomic_path(target) as part:
        # To a stream: given a path, torch.save does not say that the disk is full.
        with part.open("wb") as stream:
            torch.save({"state_dict": OrderedDict(state), "meta": meta}, stream)
        torch.load(part, map_location="cpu", weights_only=True)


def load_weights(
    model: torch.nn.Module, path: str | Path, classes: Sequence[str] | None = None
) -> dict:
    """Load a published checkpoint into ``model``, strictly; return its ``meta``.

    Args:
        model: the entry's model.
        path: the checkpoint.
        classes: names in the order of the labels of the data; a checkpoint that was trained with
            others is refused.

    Raises:
        InputError: if the file is missing, is no checkpoint, or belongs to another model or to
            other classes.
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
            "check --preset, and that the data set has the classes it was trained with",
        ) from None
    meta = content.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    _check_classes(meta.get("classes"), classes, path)
    return meta


def _check_classes(trained: object, wanted: Sequence[str] | None, path: Path) -> None:
    if not trained or wanted is None or list(trained) == list(wanted):
        return
    label = next(
        (k for k, pair in enumerate(zip(trained, wanted, strict=False)) if pair[0] != pair[1]), 0
    )
    raise InputError(
        f"a checkpoint of the data set's {len(wanted)} classes in their order",
        f"{path}, trained on {len(trained)}: label {label} is {trained[label]!r}, not "
        f"{wanted[label]!r}",
        "predict on a data set with the ids and names of the one it was trained on",
    )
