"""Heads are composed: few ancestors of ours per class, and no method that hides another one."""

import inspect
import sys
from itertools import combinations

import pytest
from mmdet.registry import TASK_UTILS

import rankdet.models  # noqa: F401 (imports all of its modules)

LIMIT = 2  # ancestors of ours per class; those of mmdet and torch do not count
CLASSES = sorted(
    {
        found
        for name, module in sys.modules.items()
        if name.startswith("rankdet.models")
        for found in vars(module).values()
        if inspect.isclass(found) and found.__module__.startswith("rankdet.models")
    },
    key=lambda found: (found.__module__, found.__name__),
)


def ancestors(kind, package="rankdet."):
    """Return the ancestors of a class that are ours, in the order in which methods are found."""
    return [found for found in kind.__mro__[1:] if found.__module__.startswith(package)]


def hidden(kind, package="rankdet."):
    """Return the methods of ancestors of ours that another ancestor of ours hides silently.

    Overriding one's own base class is no hiding, nor is a method that calls ``super()``, nor one
    that ``kind`` defines itself.
    """
    found = []
    for first, later in combinations(ancestors(kind, package), 2):
        if issubclass(first, later):
            continue
        for name in vars(first).keys() & vars(later).keys() - vars(kind).keys():
            method = vars(first)[name]
            if inspect.isfunction(method) and "__class__" not in method.__code__.co_freevars:
                found.append(f"{first.__name__}.{name} hides {later.__name__}.{name}")
    return found


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_a_class_has_few_ancestors_of_ours(kind):
    names = [found.__name__ for found in ancestors(kind)]
    assert len(names) <= LIMIT, names


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_no_method_is_hidden_silently(kind):
    assert not hidden(kind)


def test_all_heads_and_steps_are_looked_at():
    names = {kind.__name__ for kind in CLASSES}
    assert {"RankedRetinaHead", "PixelATSSRetinaHead", "RankSortRoIHead", "RankSortStep"} <= names
    assert len(names) > 40


def test_a_hidden_method_is_found():
    class Base:
        def predict(self):
            return "base"

    class Silent:
        def predict(self):
            return "silent"

    class Calling:
        def predict(self):
            return super().predict()

    class Wrong(Silent, Base):
        pass

    class Right(Calling, Base):
        pass

    class Own(Silent, Base):
        def predict(self):
            return "own"

    here = __name__
    assert hidden(Wrong, here) == ["Silent.predict hides Base.predict"]
    assert not hidden(Right, here) and not hidden(Own, here)


@pytest.mark.parametrize(
    ("step", "names"),
    [
        ("ApStep", ["loss_cls", "loss_bbox"]),
        ("WeightedApStep", ["loss_cls", "loss_bbox"]),
        ("AlrpStep", ["loss_cls", "loss_bbox"]),
        ("RankSortStep", ["loss_rank", "loss_sort", "loss_bbox"]),
        ("ParameterizedApStep", ["loss_pap"]),
    ],
)
def test_a_step_is_built_from_its_name(step, names):
    built = TASK_UTILS.build(dict(type=step))
    assert list(built.names("")) == names
    assert list(built.names("rpn_")) == [name.replace("loss_", "loss_rpn_") for name in names]
    assert built.is_balanced == (step == "AlrpStep")
