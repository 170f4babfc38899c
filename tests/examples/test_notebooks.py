"""The notebooks run, print what they show, and are small."""

import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
LARGEST = 300_000
# What a notebook needs beyond the environment of the tests; it takes minutes too.
HEAVY = {"fine-tune-torchvision": "torchvision"}
# Its figures depend on the machine.
TRAINED = {"fine-tune-torchvision"}
RUNNERS = ("nbclient", "ipykernel", "matplotlib")


def cells(path):
    """Return the code cells of a notebook."""
    return [each for each in json.loads(path.read_text())["cells"] if each["cell_type"] == "code"]


def printed(found):
    """Return what the cells print, cell by cell."""
    return [
        "".join("".join(out["text"]) for out in cell["outputs"] if out["output_type"] == "stream")
        for cell in found
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_complete_and_small(path):
    text = path.read_text()
    assert len(text) < LARGEST
    assert not re.search(r"/(work|tmp|home|root)/", re.sub(r'"image/png": "[^"]*"', "", text))
    found = cells(path)
    assert [cell["execution_count"] for cell in found] == list(range(1, len(found) + 1))
    outputs = [out for cell in found for out in cell["outputs"]]
    kinds = {out["output_type"] for out in outputs}
    assert kinds <= {"stream", "display_data", "execute_result"}
    assert not any(out.get("name") == "stderr" for out in outputs)
    assert any("image/png" in out.get("data", {}) for out in outputs)


def test_there_are_notebooks():
    assert {"what-each-loss-pulls", "choose-thresholds"} <= {path.stem for path in NOTEBOOKS}


def marked(path):
    return pytest.param(path, id=path.stem, marks=pytest.mark.heavy if path.stem in HEAVY else ())


@pytest.mark.parametrize("path", [marked(path) for path in NOTEBOOKS])
def test_a_notebook_prints_what_it_shows(path, tmp_path):
    """All its assertions hold, and what is stored is what it prints today."""
    for name in (*RUNNERS, *filter(None, [HEAVY.get(path.stem)])):
        if not find_spec(name):
            pytest.skip(f"{name} is not installed")
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=1200, kernel_name="python3", resources=resources).execute()
    found = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if path.stem not in TRAINED:
        assert printed(found) == printed(cells(path))
