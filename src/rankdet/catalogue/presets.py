"""Presets by name: those of the table, of the studies, and as a site changes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rankdet.catalogue.preset_table import PRESETS, TINY_DIGITS, Preset
from rankdet.catalogue.studies import study_presets
from rankdet.errors import InputError, nearest

__all__ = ["PRESETS", "TINY_DIGITS", "Preset", "get_preset", "presets_of_site"]


def get_preset(
    name: str, iterations: int | None = None, learning_rate: float | None = None
) -> Preset:
    """Return a preset; an unknown name is answered with the known ones.

    Args:
        name: of the preset, or of a part of a study.
        iterations: other than its own; only where it has its own.
        learning_rate: likewise.

    Raises:
        InputError: if there is no such preset, or it keeps the entry's schedule.
    """
    preset = _find(name)
    if learning_rate is not None and not 0 < learning_rate < math.inf:
        raise InputError("a learning rate above 0", f"{learning_rate:g}", "give another one")
    changes = {"iterations": iterations, "learning_rate": learning_rate}
    given = {key: value for key, value in changes.items() if value is not None}
    if given and preset.iterations is None:
        words = " and ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in given.items())
        raise InputError(
            "a preset that counts iterations",
            f"{words} for preset {name}, which keeps the entry's epochs",
            "leave the option out, or choose a short preset",
        )
    return replace(preset, **given)  # type: ignore[arg-type]


def _find(name: str) -> Preset:
    if name in PRESETS:
        return PRESETS[name]
    studies = study_presets()
    if name not in studies:
        known = {**PRESETS, **studies}
        raise InputError(f"a preset: one of {', '.join(PRESETS)}", repr(name), nearest(name, known))
    return studies[name]


def presets_of_site(changes: Mapping[str, Mapping[str, Any]]) -> dict[str, Preset]:
    """Return all presets as a site changed them.

    Args:
        changes: ``presets`` of configs/pipeline.yaml, after its schema.

    Raises:
        InputError: if a preset is unknown, or has no number of iterations to change.
    """
    found = {**PRESETS, **study_presets()}
    for name, own in changes.items():
        preset = get_preset(name, own.get("iterations"))
        found[name] = replace(preset, **{key: _frozen(value) for key, value in own.items()})
    return found


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
