"""Python x torch, really run: `python -m tests.matrix 3.10 2.4.1 [--evaluation]`.

For one Python and one torch: an empty environment, the wheel of this checkout, then the tests of
the losses and the recorded outputs of the official code, against the installed package (the tests
see no source of rankdet). The environment is deleted. What was found goes into
results/reference/packaging/matrix.json, and all that is there into matrix.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from tests.matrix.cell import measure
from tests.matrix.record import keep, write_page
from tests.packaging.distributions import ROOT, Environment, build

FOLDER = ROOT / "results" / "reference" / "packaging"


def main(arguments: list[str] | None = None) -> int:
    """Run one cell of the matrix; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("python", help="version, such as 3.10, or the path of an interpreter")
    parser.add_argument("torch", help="version, such as 2.4.1")
    parser.add_argument("--evaluation", action="store_true", help="test the evaluator too")
    parser.add_argument("--page-only", action="store_true", help="write matrix.md again, no more")
    options = parser.parse_args(arguments)
    if options.page_only:
        write_page(FOLDER)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        _, wheel = build(Path(folder))
        with Environment(Path(folder) / "environment", interpreter(options.python)) as made:
            cell = measure(made, wheel, options.torch, options.evaluation, Path(folder) / "tests")
    keep(FOLDER, cell)
    write_page(FOLDER)
    failed = [part for part in ("losses", "evaluation") if cell.get(part, {}).get("failed")]
    print(f"Python {cell['python']}, torch {cell['torch']}: {cell['losses']}")
    return 1 if failed else 0


def interpreter(name: str) -> Path:
    """Return an interpreter by its version, from the search path or from pyenv.

    Raises:
        SystemExit: if there is none.
    """
    if "/" in name:
        return Path(name)
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = sorted(root.glob(f"versions/{name}.*/bin/python"))
    if found:
        return found[-1]
    on_path = shutil.which(f"python{name}")
    if on_path is None:
        raise SystemExit(f"matrix: there is no Python {name}; give the path of one")
    return Path(on_path)


if __name__ == "__main__":
    sys.exit(main())
