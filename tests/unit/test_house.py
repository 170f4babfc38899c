"""What no linter checks of the house: no file too long to read, rules that only call the command.

Floors, cycles and types: `make lint` (import-linter and mypy, in pyproject.toml).
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST = 600


def test_no_file_is_too_long_to_read():
    every = [
        path for folder in ("src", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")
    ]
    long = {path.name: path.read_text().count("\n") for path in every}
    assert len(every) > 300 and not {n: count for n, count in long.items() if count > LONGEST}


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


def test_the_rules_define_no_functions():
    """They are in `rankdet.workflow`, where they are tested; checkpoints are Snakemake's."""
    found = [
        name
        for path in (ROOT / "workflow").rglob("*.smk")
        for name in re.findall(r"^ *def (\w+)", path.read_text(), re.MULTILINE)
    ]
    assert sorted(found) == ["published_models", "study_rates"]
