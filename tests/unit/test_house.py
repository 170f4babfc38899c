"""The plan of the house, checked: floors, no cycles, short files, short rules."""

import ast
import re
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "rankdet"
MODULES = sorted(PACKAGE.rglob("*.py"))
MMDET = {"mmdet", "mmcv", "mmengine"}

# A room imports only from rooms on floors below its own.
FLOORS = {
    "errors": -2, "times": -2, "outputs": -1, "files": 0, "hashing": 0, "paths": 0, "quiet": 0,
    "losses": 1, "evaluation": 1, "catalogue": 1, "audit": 1.5,
    "models": 2, "datasets": 2, "downloads": 2, "weights": 2, "report": 2, "cluster": 2,
    "training": 3, "search": 3,
    "workflow": 4,
    "cli": 5,
}  # fmt: skip
NEVER = {
    "losses": MMDET,
    "evaluation": MMDET | {"torch"},
    "catalogue": MMDET | {"torch"},
    "audit": MMDET | {"torch"},
    "report": MMDET | {"torch"},
    "downloads": MMDET | {"torch"},
    "search": MMDET,
    "cluster": MMDET | {"torch"},
    "workflow": MMDET | {"torch"},
}


def imports(path):
    """Return the dotted names that a file imports, wherever in it."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module)
            if node.module in {"rankdet", "rankdet.report", "rankdet.training"}:
                names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_only_from_floors_below(path):
    own = room(path)
    if own == "__init__":
        return
    for name in imports(path):
        parts = name.split(".")
        assert parts[0] not in NEVER.get(own, set()), f"{own} must not know {name}"
        if parts[0] == "rankdet" and len(parts) > 1 and parts[1] in FLOORS and parts[1] != own:
            assert FLOORS[parts[1]] < FLOORS[own], f"{own} imports {name}"


def test_no_import_cycle():
    names = {
        ".".join(("rankdet", *p.relative_to(PACKAGE).with_suffix("").parts)): p for p in MODULES
    }
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    graph = {
        name: {other for other in imports(path) if other in names and other != name}
        for name, path in names.items()
    }
    done, path = set(), []

    def visit(name):
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name in done:
            return
        path.append(name)
        for other in graph[name]:
            # A package importing its own modules is how it gathers them, not a cycle.
            if not name.startswith(other + "."):
                visit(other)
        path.pop()
        done.add(name)

    for name in graph:
        visit(name)


def test_files_are_short():
    lines = [path.read_text().count("\n") for path in MODULES]
    assert statistics.median(lines) <= 120
    assert sum(count <= 300 for count in lines) >= 0.9 * len(lines)
    every = [*MODULES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    assert max(path.read_text().count("\n") for path in every) <= 500


RULES = [
    (path.name, rule)
    for path in [ROOT / "workflow" / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")]
    for rule in re.split(r"\n(?=rule |checkpoint )", path.read_text())
    if rule.startswith(("rule ", "checkpoint "))
]


@pytest.mark.parametrize(("file", "rule"), RULES, ids=lambda value: value.split(":")[0])
def test_a_rule_calls_the_command_and_nothing_else(file, rule):
    if "shell:" not in rule:
        assert "input:" in rule and "run:" not in rule and "script:" not in rule  # a target
        return
    assert rule.split("shell:")[1].strip().startswith('"rankdet ')
    assert "log:" in rule and "benchmark:" in rule and "resources:" in rule
    body = [line for line in rule.strip().splitlines() if line.strip()]
    assert len(body) <= 25, f"{file}: {len(body)} lines"
