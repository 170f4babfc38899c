"""What a run's record says about its settings: the resolved config, and what is not official."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config

from rankdet.audit.compare import OF_THE_DATA, UNEXPLAINED, audit
from rankdet.catalogue import Entry
from rankdet.catalogue.presets import Preset

# Keys that name places on this machine, and the classes, which the identity of the data covers.
LEFT_OUT = frozenset(
    {
        *("ann_file", "data_root", "data_prefix", "img_prefix", "proposal_file", "out_file"),
        *("work_dir", "backend_args", "file_client_args", "metainfo", "category_ids"),
    }
)
# Names of base files that only other lines of the config read, and what the trainer overwrites.
NOT_READ = frozenset(
    {
        *("dataset_type", "train_pipeline", "test_pipeline", "img_norm_cfg", "max_epochs"),
        *("visualizer", "vis_backends", "log_processor", "log_level", "env_cfg", "default_hooks"),
        *("tta_model", "tta_pipeline", "custom_imports", "default_scope", "launcher", "resume"),
    }
)
SHOWN = 200  # characters of a value in the list of differences


def described(entry: Entry, config: Config, preset: Preset) -> dict[str, Any]:
    """Return the part of ``run.json`` about the settings.

    Args:
        entry: the row.
        config: resolved under ``preset``, before paths of this machine are set; not changed.
        preset: of the run.

    Returns:
        "config": the settings as plain values, without paths; "differences": the settings that are
        not those of the official run, each with "setting", "official", "here" and "reason".
    """
    parts = {key: value for key, value in config.to_dict().items() if key not in NOT_READ}
    return {"config": plain(parts), "differences": differences(entry, config, preset)}


def differences(entry: Entry, config: Config, preset: Preset) -> list[dict[str, str]]:
    """Return the settings that are not those of the official run; the data have their own record.

    A line without a setting is a behavior. A reason that is not stated for the row is the preset.
    """
    default = "" if preset.name == "paper" else f"preset {preset.name}"
    return [
        {
            "setting": each.setting,
            "official": _short(each.official),
            "here": _short(each.here),
            "reason": default if each.reason == UNEXPLAINED else each.reason,
        }
        for each in audit(entry, config.to_dict()).deviations
        if not OF_THE_DATA & set(each.setting.split("."))
    ]


def plain(value: Any) -> Any:
    """Return JSON values, without the keys of `LEFT_OUT`; a path is its file name."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items() if key not in LEFT_OUT}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return value if abs(value) < float("inf") else str(value)  # JSON has neither inf nor NaN
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return Path(value).name if isinstance(value, Path) else str(value)


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
