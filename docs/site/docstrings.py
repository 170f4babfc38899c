"""Docstrings as the site's parser reads them: section "Examples", links in place of roles."""

from __future__ import annotations

import re

import griffe

ROLE = re.compile(r":(?:func|class|meth|mod|attr):`~?([\w.]+)`")


class Docstrings(griffe.Extension):
    """Rewrites the text of every docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring:
            text = re.sub(r"^(\s*)Example:$", r"\1Examples:", obj.docstring.value, flags=re.M)
            obj.docstring.value = ROLE.sub(link, text)


def link(match: re.Match[str]) -> str:
    """Return a reference that leads to the place of the name, if the site has it."""
    path = match[1]
    return f"[`{path.rpartition('.')[2]}`][{path}]" if "." in path else f"`{path}`"
