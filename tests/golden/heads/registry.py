"""Who replays a kind of case, and who builds the head of an official class.

A module of this package registers itself by importing these two decorators; `__init__` imports all
of its modules, so a new kind or head is one new file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import nn

from tests.golden.heads.cases import Case
from tests.golden.heads.check import Check


@dataclass(frozen=True)
class Builder:
    """How to build our head for a case.

    Attributes:
        build: takes a case, returns the head in training mode.
        loss_names: our name of a loss term -> the recorded one, where they differ.
        foreground: recorded label of the first class.
        background: recorded label of the background; None means the number of classes.
        image_major: whether the recorded ranking is ordered by image, then level; else by level.
    """

    build: Callable[[Case], nn.Module]
    loss_names: dict[str, str] = field(default_factory=dict)
    foreground: int = 0
    background: int | None = None
    image_major: bool = False


KINDS: dict[str, Callable[[Case, Builder], Check]] = {}
BUILDERS: dict[str, Builder] = {}


def replays(*kinds: str) -> Callable:
    """Register a function (case, builder) -> Check for kinds of case."""

    def register(function: Callable[[Case, Builder], Check]) -> Callable:
        KINDS.update(dict.fromkeys(kinds, function))
        return function

    return register


def builds(*official_classes: str, **about) -> Callable:
    """Register a function case -> head for official classes; ``about`` as in `Builder`."""

    def register(function: Callable[[Case], nn.Module]) -> Callable:
        BUILDERS.update(dict.fromkeys(official_classes, Builder(function, **about)))
        return function

    return register


def is_built(case: Case) -> bool:
    """Whether the head of a case, and the replay of its kind, exist here."""
    return case.about["official_class"] in BUILDERS and case.kind in KINDS


def replay(case: Case) -> Check:
    """Replay one case; a head that does not exist here yet does not agree."""
    if not is_built(case):
        return Check(case, built=False)
    return KINDS[case.kind](case, BUILDERS[case.about["official_class"]])
