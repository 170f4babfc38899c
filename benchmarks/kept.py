"""Common parts of the programs that write results/reference: options, machine and versions."""

from __future__ import annotations

import argparse


def options(description: str, what: str) -> argparse.Namespace:
    """Read the options of a program that copies the results of one ``what``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(what)
    parser.add_argument("--seconds", type=float, help="wall time of the whole workflow run")
    parser.add_argument("--note", default="", help="a remark about this run for the README")
    return parser.parse_args()


def heading(title: str, told: argparse.Namespace) -> list[str]:
    """Return the first lines of a README: title, wall time, note."""
    lines = [f"# {title}: what was measured", ""]
    if told.seconds:
        lines += [f"The whole workflow took {told.seconds / 60:.1f} minutes.", ""]
    return [*lines, told.note, ""] if told.note else lines


def where(machine: dict, versions: dict, more: str = "") -> list[str]:
    """Return the lines that say on what machine, with ``more`` about it, and with what versions."""
    return [
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"GPU {machine['gpu'] or 'none'}{more}.",
        "Versions: " + ", ".join(f"{name} {found}" for name, found in versions.items()) + ".",
    ]
