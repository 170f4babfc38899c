"""Two ways of saying the same: the catalogue's words in a form that compares."""

from __future__ import annotations

import ast
import re

from rankdet.training.facts.assignment import MAX_IOU

# The same under another name, or in mmdet 3 instead of 2.
RENAMED = (
    ("none in config -> ", ""),
    ("default(True)", "True"),
    ("prob=", "flip_ratio="),
    (" (interpolation mode drawn at random per image)", ""),
)
PSEUDO = re.compile(r"PseudoSampler( \(all anchors\)|\([^)]*\))?")


def canonical(field: str, text: str) -> object:
    """Return ``text`` of a catalogue field so that equal meanings are equal objects."""
    for said, meant in RENAMED:
        text = text.replace(said, meant)
    text = PSEUDO.sub("PseudoSampler", text.strip())
    if field in ("train_scale", "test_scale") and "short " in text:
        shorts = re.search(r"short ([\d/]+)", text)[1]
        return text.replace(shorts, "/".join(sorted(shorts.split("/"), key=int)))
    parts = re.split(r" \| |; ", text)
    return tuple(_part(part) for part in parts)


def _part(text: str) -> object:
    """Return "name: Class(key=value, ...)" as (name, class, sorted settings)."""
    match = re.fullmatch(r"(?:(\w+): )?(?:(dataset wrapper )?(\w+)\()?(.*?)\)?", text, re.DOTALL)
    name, wrapper, kind, inner = match.groups()
    if "=" not in inner:
        return name, kind, _value(text if kind is None and name is None else inner)
    settings, words = {}, []
    for piece in _split(inner):
        key, sign, value = piece.partition("=")
        if sign and key.isidentifier():
            settings[key] = _value(value)
        else:
            words.append(piece)
    if kind == "MaxIoUAssigner":
        settings = {**MAX_IOU, **settings}
    return name, wrapper, kind, tuple(sorted(settings.items())), tuple(words)


def _split(text: str) -> list[str]:
    """Split at commas and blanks outside of brackets, of "a=1, b=[1, 2]" or "a=1 b=2"."""
    pieces, depth, start = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter in "[(") - (letter in "])")
        if depth == 0 and letter in ", ":
            pieces.append(text[start:place])
            start = place + 1
    return [piece for piece in (*pieces, text[start:]) if piece]


def _value(text: str) -> object:
    """Return a number, a tuple of numbers or the text itself."""
    try:
        return _tuples(ast.literal_eval(text))
    except (ValueError, SyntaxError):
        return text


def _tuples(value: object) -> object:
    return tuple(_tuples(each) for each in value) if isinstance(value, (list, tuple)) else value
