"""The screenshots of the guides are those that `make docs-images` takes, and each is shown."""

import ast
from pathlib import Path

from tests.docs.test_numbers import PAGES, ROOT

IMAGES = ROOT / "docs" / "images"


def names() -> set[str]:
    """Return the names of `SHOTS`; the script itself needs a driver for the browser."""
    tree = ast.parse((ROOT / "docs" / "screenshots.py").read_text())
    [shots] = [
        each.value
        for each in tree.body
        if isinstance(each, ast.Assign) and each.targets[0].id == "SHOTS"
    ]
    return set(ast.literal_eval(shots))


def test_every_screenshot_is_there_and_shown():
    assert {path.stem for path in IMAGES.iterdir()} == names()
    text = "".join((ROOT / page).read_text() for page in PAGES)
    for name in names():
        path = Path("images") / f"{name}.png"
        assert f"{path})" in text, f"no page shows docs/{path}"
        content = (IMAGES / path.name).read_bytes()
        assert content.startswith(b"\x89PNG") and 10_000 < len(content) < 400_000
