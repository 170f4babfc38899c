"""``--seeds 0,1,2``: the same command once per seed, each with its own folders."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import typer

from rankdet.catalogue.seeds import LARGEST, seed_folder
from rankdet.cluster.slurm import forwarding
from rankdet.errors import InputError


def parse(text: str) -> list[int]:
    """Return the seeds of a comma-separated list.

    Raises:
        InputError: if one is not a seed, or is there twice.
    """
    words = [word.strip() for word in text.split(",")]
    valid = all(word.isascii() and word.isdigit() and int(word) <= LARGEST for word in words)
    seeds = [int(word) for word in words] if valid else []
    if not valid or len(set(seeds)) < len(seeds):
        expected = f"--seeds as different numbers from 0 to {LARGEST}, such as 0,1,2"
        raise InputError(expected, repr(text), "correct the list")
    return seeds


def arguments_of(
    given: Sequence[str], seed: int, paths: Mapping[str, Path], seed_option: str = ""
) -> list[str]:
    """Return the arguments of one run.

    Args:
        given: of the command with ``--seeds``.
        seed: of the run.
        paths: by option; the run's own are in a folder ``seed-<n>`` beside them.
        seed_option: to pass the seed with, if the command has one.
    """
    dropped = {"--seeds", *paths, *([seed_option] if seed_option else [])}
    kept, words = [], iter(given)
    for word in words:
        name, has_value, _ = word.partition("=")
        if name not in dropped:
            kept.append(word)
        elif not has_value:
            next(words, None)
    for option, path in paths.items():
        own = path / seed_folder(seed) if _is_folder(option) else _beside(path, seed)
        kept += [option, str(own)]
    return kept + ([seed_option, str(seed)] if seed_option else [])


def _is_folder(option: str) -> bool:
    return option.endswith("-dir")


def _beside(path: Path, seed: int) -> Path:
    return path.parent / seed_folder(seed) / path.name


def run_each(text: str, paths: Mapping[str, Path], seed_option: str = "") -> None:
    """Run this process's command once per seed; stop at the first that fails, with its exit code.

    Args:
        text: the list of seeds.
        paths: as for `arguments_of`.
        seed_option: as for `arguments_of`.
    """
    for seed in parse(text):
        code = _run(arguments_of(sys.argv[1:], seed, paths, seed_option))
        if code:
            raise typer.Exit(code if code > 0 else 128 - code)


def _run(arguments: Sequence[str]) -> int:
    """Run the command in a process of its own, which gets the signals of this one."""
    program = "import sys; from rankdet.cli import main; sys.exit(main())"
    # In its own session: a terminal sends Ctrl-C to every process of the command's.
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], start_new_session=True)
    with forwarding(lambda number, _: process.send_signal(number)):
        return process.wait()
