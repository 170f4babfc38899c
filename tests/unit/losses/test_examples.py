"""The example in the docstring of every public name runs and gives the output it shows."""

import ast
import doctest
import inspect
from pathlib import Path

import pytest

from rankdet import losses

PUBLIC = [name for name in losses.__all__ if callable(getattr(losses, name))]


@pytest.mark.parametrize("name", PUBLIC)
def test_the_example_runs(name):
    text = inspect.getdoc(getattr(losses, name))
    example = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    assert any(each.want for each in example.examples), "an example that shows output"
    found = doctest.DocTestRunner().run(example)
    assert found.failed == 0


@pytest.mark.parametrize("name", PUBLIC)
def test_the_docstring_is_complete(name):
    value = getattr(losses, name)
    text = inspect.getdoc(value)
    needed = ["Args:", "Example:"]
    if name != "scale_to_value":
        needed.append("Raises:")
    if inspect.isfunction(value):
        needed.append("Returns:")
    assert [each for each in needed if each not in text] == []
    parameters = inspect.signature(value).parameters
    assert [each for each in parameters if each not in text.split("Args:")[1]] == []


def test_a_loss_is_read_in_at_most_six_files():
    folder = Path(losses.__file__).parent
    found, waiting = set(), {"rank_sort"}
    while waiting:
        name = waiting.pop()
        found.add(name)
        for node in ast.walk(ast.parse((folder / f"{name}.py").read_text())):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("rankdet.losses."):
                waiting |= {node.module.rpartition(".")[2]} - found
    assert len(found) <= 6
