"""Numbers in README and guides are those of the records; `make docs-numbers` writes them."""

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"\[\[\[cog\n(.*?)\]\]\] -->\n(.*?)<!-- \[\[\[end\]\]\] -->", re.DOTALL)
WITH_NUMBERS = [page for page in PAGES if "[[[cog" in (ROOT / page).read_text()]


def cog(folder, *options):
    """Run cog as `make docs-numbers` does, in a folder with these pages."""
    command = [sys.executable, "-m", "cogapp", *options, "-I", "docs", *PAGES]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path):
    """The pages and the records in a folder of their own."""
    shutil.copy(ROOT / "README.md", tmp_path)
    for name in ("docs", "configs", "results/reference"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def test_every_number_is_that_of_its_record():
    run = cog(ROOT, "--check")
    assert run.returncode == 0, f"make docs-numbers\n{run.stdout}{run.stderr}"
    assert len(WITH_NUMBERS) >= 4


@pytest.mark.parametrize("page", WITH_NUMBERS)
def test_a_number_changed_by_hand_is_noticed_and_written_again(copy, page):
    path = copy / page
    text = path.read_text()
    blocks = list(BLOCK.finditer(text))
    assert blocks
    for block in blocks:
        number = re.search(r"\d(?=\D*$)", block[2], re.DOTALL)
        place = block.start(2) + number.start()
        path.write_text(f"{text[:place]}{(int(number[0]) + 1) % 10}{text[place + 1 :]}")
        assert cog(copy, "--check").returncode != 0, block[2]
    assert cog(copy, "-r").returncode == 0
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("record", "old", "new", "page"),
    [
        ("results/reference/scaling/rows.csv", ",457.4,", ",557.4,", "docs/scaling.md"),
        ("results/reference/scaling/nodes.md", "| 63.8 |", "| 73.8 |", "docs/scaling.md"),
        ("results/reference/operators/bench.csv", "47.79", "57.79", "docs/operators.md"),
        ("configs/rehearsed.csv", ",20.8,", ",99.8,", "docs/official-runs.md"),
        ("results/reference/evaluation/coverage.csv", "0.944", "0.444", "docs/evaluation.md"),
        ("results/reference/studies/imbalance/summary.csv", ",43.", ",63.", "docs/which-loss.md"),
    ],
)
def test_a_new_record_is_noticed(copy, record, old, new, page):
    path = copy / record
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert cog(copy, "--check").returncode != 0
    before = {name: (copy / name).read_text() for name in PAGES}
    assert cog(copy, "-r").returncode == 0
    assert [name for name in PAGES if (copy / name).read_text() != before[name]] == [page]


def test_a_missing_record_is_an_error(copy):
    (copy / "results/reference/scaling/rows.csv").unlink()
    run = cog(copy, "--check")
    assert run.returncode != 0 and "rows.csv" in run.stdout + run.stderr


@pytest.mark.parametrize("page", WITH_NUMBERS)
def test_a_reader_sees_numbers_and_no_code(page):
    text = (ROOT / page).read_text()
    shown = MarkdownIt("commonmark").enable("table").render(text)
    visible = re.sub(r"<!--.*?-->", "", shown, flags=re.DOTALL)
    assert "cog" not in re.sub(r"cogapp|recog\w+", "", visible) and "import records" not in visible
    for block in BLOCK.finditer(text):
        row = block[2].strip().splitlines()[-1]
        for cell in filter(None, (each.strip(" |*`") for each in row.split("|"))):
            words = re.sub(r"[*`]", "", cell)
            assert words in re.sub(r"<[^>]+>", "", visible).replace("&amp;", "&")


def test_a_table_of_another_layout_is_refused():
    records = runpy.run_path(str(ROOT / "docs" / "records.py"))
    with pytest.raises(ValueError, match="no table of 2 columns"):
        records["table_of"]("scaling/nodes.md", ("nodes", "days"))
    assert records["hours"]("control_*", "!control_paa*", epochs=12) == "19 to 29"
    assert records["hours"]("*_dcn_800", epochs=100) == "457"
