"""The settings that identify a run: everything that influences the result, without paths."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from rankdet.datasets.manifest import Manifest
from rankdet.hashing import content_sha256, json_sha256
from rankdet.outputs import shown_path

# Parts of a config that do not influence the trained weights, or are recorded separately.
IGNORED_PARTS = frozenset(
    {
        *("val_dataloader", "test_dataloader", "val_evaluator", "test_evaluator"),
        *("val_cfg", "test_cfg", "tta_model", "tta_pipeline", "train_pipeline", "test_pipeline"),
        *("visualizer", "vis_backends", "log_processor", "log_level", "default_hooks"),
        *("env_cfg", "launcher", "work_dir", "resume", "load_from", "default_scope"),
    }
)
# Keys that never influence the weights: paths, and how files are read.
IGNORED_KEYS = frozenset(
    {
        *("ann_file", "data_root", "data_prefix", "img_prefix", "proposal_file", "out_file"),
        *("checkpoint", "work_dir", "backend_args", "file_client_args"),
        *("num_workers", "persistent_workers", "pin_memory", "prefetch_factor"),
    }
)
SHOWN = 3  # differences in a message
WIDTH = 40  # characters of a value in a message


def run_settings(
    config: Config, data: Manifest, entry: str, preset: str, seed: int, weights: dict | None
) -> dict[str, Any]:
    """Return the settings of a run as plain JSON.

    Args:
        config: resolved, before hooks and machine-specific paths are set.
        data: the data set.
        entry: id of the catalogue.
        preset: its name.
        seed: of the run.
        weights: {"file", "sha256"} of the start weights, or None.
    """
    parts = {key: value for key, value in dict(config).items() if key not in IGNORED_PARTS}
    settings = {
        "entry": entry,
        "preset": preset,
        "seed": seed,
        "start_weights": (weights or {}).get("sha256"),
        "data": {
            "train_sha256": data.train.sha256,
            "val_sha256": data.val.sha256,
            "classes": list(data.classes),
        },
        "config": _plain(parts),
    }
    return json.loads(json.dumps(settings))  # as it will be read back: tuples become lists


def settings_hash(settings: dict[str, Any]) -> str:
    """Return the SHA-256 of ``settings``."""
    return json_sha256(settings)


def first_edition_mark(config: Config, data: Manifest, seed: int) -> str:
    """Return the hash that earlier versions wrote for the same run; it depends on paths."""
    text = "\0".join((config.pretty_text, data.train.sha256, data.val.sha256, str(seed)))
    return content_sha256(text)


def differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Return the first settings that differ, as ``key: old -> new``; "" if there are none."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    lines = [
        f"{shown_path(key)}: {_short(before, key)} -> {_short(after, key)}"
        for key in changed[:SHOWN]
    ]
    more = len(changed) - SHOWN
    return ", ".join(lines) + (f" and {more} more" if more > 0 else "")


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    children: Any = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    if not children:
        yield path, value
    for key, child in children:
        yield from _leaves(child, f"{path}.{key}" if path else str(key))


def _short(leaves: dict[str, Any], key: str) -> str:
    if key not in leaves:
        return "none"
    text = json.dumps(leaves[key])
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items() if k not in IGNORED_KEYS}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return Path(value).name if isinstance(value, Path) else str(value)
