"""Links of a built site lead to a page and a place on it; nothing is loaded from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# A browser loads these by itself; a link (`a`) is followed by people.
LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src")}
STYLE = re.compile(r"url\(\s*['\"]?(https?:)?//|@import\s+['\"]?(https?:)?//")


class Page(HTMLParser):
    """The ids of a page, its links and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what one tag has."""
        values = {name: value for name, value in attrs if value is not None}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        is_canonical = values.get("rel") in ("canonical", "prev", "next")
        for name, value in values.items():
            if (tag, name) in LOADED and not is_canonical:
                self.loaded.append(value)
            elif (tag, name) == ("a", "href"):
                self.links.append(value)


def problems(folder: Path) -> list[str]:
    """Return what is wrong with the pages of a site, one line each.

    Args:
        folder: the built site.
    """
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in folder.rglob("*.html")}
    found = []
    for path, page in sorted(pages.items()):
        name = path.relative_to(folder)
        for link in page.loaded:
            if urlsplit(link).scheme in ("http", "https") or link.startswith("//"):
                found.append(f"{name} loads {link} from elsewhere")
            elif not link.startswith("data:"):
                found += wrong(path, link, pages, name)
        for link in page.links:
            found += wrong(path, link, pages, name)
    for path in sorted(folder.rglob("*.css")):
        if STYLE.search(path.read_text(encoding="utf-8")):
            found.append(f"{path.relative_to(folder)} loads something from elsewhere")
    return found


def wrong(path: Path, link: str, pages: dict[Path, Page], name: Path) -> list[str]:
    """Return what is wrong with a link: nothing, or one line."""
    parts = urlsplit(link)
    if parts.scheme in ("http", "https"):
        return [] if re.fullmatch(r"[\w-]+(\.[\w-]+)+(:\d+)?", parts.netloc) else [
            f"{name} has a malformed link {link}"
        ]
    if parts.scheme in ("mailto", "javascript", "data"):
        return []
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if path.name == "404.html":  # shown at any address, so its links begin at the root
        target = path.parent / unquote(parts.path).lstrip("/")
    if target.is_dir():
        target = target / "index.html"
    if not target.exists():
        return [f"{name} links to {link}, which is missing"]
    place = unquote(parts.fragment)
    if place and target in pages and place not in pages[target].ids | {"__comments", "top"}:
        return [f"{name} links to {link}, a place that is missing"]
    return []
