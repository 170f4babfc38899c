"""Where rankdet finds its configs (an override, the checkout, the wheel) and fetched weights."""

from __future__ import annotations

import os
from pathlib import Path

from rankdet.errors import InputError

CONFIGS_VARIABLE = "RANKDET_CONFIGS"
BACKBONES = Path("data/backbones")  # fetched weights, below the working directory


def use_configs(folder: str | Path) -> str:
    """Let this process, and those that it starts, use the configs of a folder.

    Returns:
        The absolute path of the folder.
    """
    path = str(Path(folder).absolute())
    os.environ[CONFIGS_VARIABLE] = path
    return path


def configs_dir() -> Path:
    """Return the folder that holds ``experiments.csv`` and the configs of the entries.

    In this order: the environment variable ``RANKDET_CONFIGS``, ``configs/`` of the checkout that
    this package runs from, the copy that is packed into the wheel.

    Raises:
        InputError: if the variable names a folder without ``experiments.csv``, or none is found.
    """
    override = os.environ.get(CONFIGS_VARIABLE)
    if override:
        folder = Path(override).expanduser().resolve()
        if not (folder / "experiments.csv").is_file():
            raise InputError(
                f"{CONFIGS_VARIABLE} to name a folder with experiments.csv",
                str(folder),
                "correct the variable or unset it",
            )
        return folder
    package = Path(__file__).resolve().parent
    for folder in (package.parents[1] / "configs", package / "_configs"):
        if (folder / "experiments.csv").is_file():
            return folder
    raise InputError(
        "the catalogue configs/experiments.csv",
        "none beside the checkout and none in the installed package",
        f"run from a complete checkout or set {CONFIGS_VARIABLE}",
    )
