"""The site: pages are laid out without mkdocs; the build and its link check run where it is."""

import os
import re
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

SITE = Path(__file__).parents[2] / "docs" / "site"
ROOT = SITE.parents[1]


@pytest.fixture
def build(monkeypatch):
    monkeypatch.syspath_prepend(str(SITE))
    return runpy.run_path(str(SITE / "build.py"))


@pytest.fixture
def problems(monkeypatch):
    return runpy.run_path(str(SITE / "check.py"))["problems"]


def test_every_guide_and_notebook_is_in_the_navigation(build):
    names = set(build["names_in_navigation"]())
    guides = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    notebooks = {f"examples/{path.name}" for path in (ROOT / "examples").glob("*.ipynb")}
    assert guides and notebooks and guides | notebooks <= names
    # A room that people call from their own code has a page.
    rooms = {"losses", "evaluation", "ops", "adapters"}
    present = {room for room in rooms if (ROOT / "src/rankdet" / room).is_dir()}
    assert {f"api/{room}.md" for room in present} <= names


def test_the_pages_are_laid_out(build, tmp_path):
    """At their own paths; links to folders lead to the page inside, other files come along."""
    count = build["lay_out"](tmp_path / "pages")
    start = (tmp_path / "pages" / "index.md").read_text()
    assert count > 30 and "](results/reference/demo/README.md)" in start
    assert (tmp_path / "pages" / "CITATION.cff").is_file()
    assert (tmp_path / "pages" / "configs" / "searches.yaml").is_file()


def test_a_link_that_leads_nowhere_is_refused(build, tmp_path):
    page = tmp_path / "page.md"
    for link in ("missing.md", "../nowhere", "other.md"):
        page.write_text(f"[text]({link})")
        (tmp_path / "other.md").write_text("not on the site")
        with pytest.raises(build["BrokenLink"], match=re.escape(link)):
            build["prepared"](page, "page.md", tmp_path / "pages", [page])


def test_a_list_is_set_apart_from_its_paragraph_but_not_in_code(build):
    text = "words:\n- one\n- two\n\n```\nwords\n- one\n```\n| a |\n- b\n"
    assert build["set_apart"](text) == text.replace("words:\n", "words:\n\n")


@pytest.mark.parametrize(
    ("html", "problem"),
    [
        ('<a href="other.html#here">', None),
        ('<a href="https://example.org/x">', None),
        ('<a href="missing.html">', "which is missing"),
        ('<a href="other.html#there">', "a place that is missing"),
        ('<a href="https://exa mple">', "malformed"),
        ('<script src="https://cdn.example.org/x.js"></script>', "from elsewhere"),
        ('<img src="missing.png">', "which is missing"),
        ('<link rel="stylesheet" href="//fonts.example.org/x.css">', "from elsewhere"),
    ],
)
def test_links_are_checked(problems, tmp_path, html, problem):
    (tmp_path / "index.html").write_text(html)
    (tmp_path / "other.html").write_text('<p id="here">')
    found = problems(tmp_path)
    assert found == [] if problem is None else len(found) == 1 and problem in found[0]


def test_a_style_that_loads_a_font_is_noticed(problems, tmp_path):
    (tmp_path / "x.css").write_text("@import 'https://fonts.example.org/x.css';")
    assert problems(tmp_path) == ["x.css loads something from elsewhere"]


@pytest.mark.skipif(
    not all(map(find_spec, ("mkdocs", "material", "mkdocstrings", "mkdocs_jupyter"))),
    reason="the site's packages are not installed: make docs",
)
def test_the_site_is_built_without_a_warning():
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SITE / "build.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    page = (ROOT / "work/site/html/api/losses.html").read_text()
    assert 'id="rankdet.losses.rank_sort_loss"' in page and "Raises" in page
