"""`make docs`: lay out the pages, build the site with mkdocs, check every link.

    python docs/site/build.py [--pages-only]

The pages are files of the repository, at their own paths, so that their links hold in both places;
README.md is the start page. A link to a folder leads to the page in it, any other file that a page
links to is copied. Output: work/site/html. Anything wrong ends the command with exit code 1.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from check import problems

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUT = ROOT / "work" / "site"
START = "index.md"  # README.md, under the name that mkdocs expects
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s#]+)")
PAGE_LINK = re.compile(r"(\]\((?!https?:)[^)\s#]+)\.md")  # of a notebook, which mkdocs leaves alone
LIST = re.compile(r" {0,3}([-*]|\d+\.) ")


class BrokenLink(Exception):
    """A page that links to something that the repository does not have."""


def main() -> int:
    """Build and check the site; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages-only", action="store_true", help="lay out the pages, no more")
    options = parser.parse_args()
    try:
        count = lay_out(OUT / "pages")
    except BrokenLink as error:
        print(f"docs: {error}", file=sys.stderr)
        return 1
    print(f"docs: {count} pages in {OUT / 'pages'}")
    if options.pages_only:
        return 0
    command = [sys.executable, "-m", "mkdocs", "-q", "build", "--strict", "--clean"]
    settings = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # about a version that is not installed
    if subprocess.run([*command, "-f", str(HERE / "mkdocs.yml")], env=settings).returncode:
        return 1
    found = problems(OUT / "html")
    print("\n".join(f"docs: {each}" for each in found), file=sys.stderr, end="\n" if found else "")
    print(f"docs: {OUT / 'html' / 'index.html'}" if not found else f"docs: {len(found)} problems")
    return 1 if found else 0


def lay_out(folder: Path) -> int:
    """Copy the pages of the navigation and what they link to; return the number of pages.

    Raises:
        BrokenLink: if a page of the navigation or the target of a link is missing.
    """
    shutil.rmtree(folder, ignore_errors=True)
    pages = {name: source_of(name) for name in names_in_navigation()}
    for name, source in pages.items():
        if not source.exists():
            raise BrokenLink(f"mkdocs.yml names {name}, which is missing")
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".md":
            target.write_text(prepared(source, name, folder, pages.values()))
        else:
            target.write_text(PAGE_LINK.sub(r"\1.html", source.read_text(encoding="utf-8")))
    (folder / "assets").mkdir()
    shutil.copy(HERE / "site.css", folder / "assets" / "site.css")
    return len(pages)


def names_in_navigation() -> Iterator[str]:
    """Yield the pages of the navigation, as mkdocs.yml names them."""
    text = (HERE / "mkdocs.yml").read_text()
    yield from re.findall(r": (\S+\.(?:md|ipynb))$", text[text.index("\nnav:") :], re.MULTILINE)


def source_of(name: str) -> Path:
    """Return the file of the repository that a page is made from."""
    if name == START:
        return ROOT / "README.md"
    return (HERE if name.startswith("api/") else ROOT) / name


def prepared(source: Path, name: str, folder: Path, pages) -> str:
    """Return the text of a page: links to folders and files resolved, lists set apart."""
    names = {path.resolve(): path for path in pages}

    def target(match: re.Match) -> str:
        link = match[1]
        if source.is_relative_to(HERE):  # written for the site
            return link
        path = (source.parent / link).resolve()
        if path.is_dir():
            inside = [each for each in names if each.parent == path]
            readme = [each for each in inside if each.name == "README.md"]
            found = readme or inside
            if len(found) != 1:
                raise BrokenLink(f"{name} links to {link}, a folder without one page of the site")
            return f"{link.rstrip('/')}/{found[0].name}"
        if not path.is_file():
            raise BrokenLink(f"{name} links to {link}, which is missing")
        if path == ROOT / "README.md":
            return link.replace("README.md", START)
        if path not in names:
            if path.suffix == ".md":
                raise BrokenLink(f"{name} links to {link}, which mkdocs.yml does not name")
            copy = folder / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        return link

    return set_apart(LINK.sub(target, source.read_text(encoding="utf-8")))


def set_apart(text: str) -> str:
    """Put an empty line between a paragraph and a list: Markdown for Python needs it."""
    lines: list[str] = []
    is_code = False
    for line in text.splitlines():
        is_code ^= line.startswith("```")
        before = lines[-1] if lines else ""
        is_text = before.strip() and not (before.startswith((" ", "#", "|")) or LIST.match(before))
        if LIST.match(line) and is_text and not is_code:
            lines.append("")
        lines.append(line)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
