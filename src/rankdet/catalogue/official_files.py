"""Reading ``configs/official/<family>.yaml``: the settings of the official runs by entry.

A file holds the defaults of a family and one document per row, which says only what differs. A row
may start from another row instead (``like``); from a row of another family, the defaults of its own
family come on top, and ``like: none`` starts from nothing. Mappings are merged; a list replaces a
list, a component another one of another ``type`` if that has no parts of its own; ``null`` removes.
A setting that the official run had as None is the word ``none``; what no source states is the word
``unknown``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rankdet.catalogue.official import NONE, OfficialSettings
from rankdet.catalogue.settings_files import read_settings
from rankdet.errors import InputError, nearest

FOLDER = "official"
OF_ONE_ROW = ("config", "notes")  # what another row does not take over with `like`
Document = dict[str, Any]


def read_official(configs: Path, families: Mapping[str, str]) -> dict[str, OfficialSettings]:
    """Return the official settings of rows.

    Args:
        configs: the folder that holds ``official/``.
        families: family by entry id.

    Raises:
        InputError: naming file, entry and setting of the first mistake.
    """
    folder = configs / FOLDER
    rows = _Rows(
        families, {name: _Family(folder / f"{name}.yaml") for name in sorted({*families.values()})}
    )
    return {entry: rows.settings(entry) for entry in families}


class _Family:
    """One file: defaults, and documents by entry."""

    def __init__(self, path: Path) -> None:
        self.path = path
        content = read_settings(path)
        _check_names(f"{path}: defaults or entries", content, ("defaults", "entries"))
        self.defaults = self._mapping("defaults", content.get("defaults"))
        documents = self._mapping("entries", content.get("entries"))
        self.documents = {entry: self._mapping(entry, each) for entry, each in documents.items()}

    def _mapping(self, name: object, value: Any) -> Document:
        if value is not None and not isinstance(value, dict):
            raise InputError(
                f"{self.path}, {name}: settings by name", _short(value), "write `name: value` lines"
            )
        return value or {}


class _Rows:
    """The documents of all rows, merged with what they start from."""

    def __init__(self, families: Mapping[str, str], files: Mapping[str, _Family]) -> None:
        self.families, self.files = families, files
        self.merged: dict[str, Document] = {}
        for name, file in files.items():
            own = [entry for entry, family in families.items() if family == name]
            _check_names(f"{file.path}: an entry of family {name}", file.documents, own)

    def settings(self, entry: str) -> OfficialSettings:
        """Return the settings of a row, validated."""
        try:
            return OfficialSettings.model_validate(self.document(entry, ()))
        except ValidationError as error:
            raise _invalid(self.files[self.families[entry]].path, entry, error) from None

    def document(self, entry: str, through: tuple[str, ...]) -> Document:
        """Return the merged document of a row that is reached ``through`` others."""
        if entry not in self.merged:
            own = dict(self.files[self.families[entry]].documents.get(entry, {}))
            start = self._start(entry, own.pop("like", None), (*through, entry))
            self.merged[entry] = merge(start, own)
        return self.merged[entry]

    def _start(self, entry: str, like: object, through: tuple[str, ...]) -> Document:
        family = self.families[entry]
        file = self.files[family]
        if like is None:
            return file.defaults
        if like == NONE:
            return {}
        place = f"{file.path}, {entry}, like"
        if not isinstance(like, str) or like not in self.families:
            raise InputError(f"{place}: an entry", _short(like), nearest(str(like), self.families))
        if like in through:
            expected = f"{place}: an entry that does not start from this one"
            raise InputError(expected, like, "correct one of them")
        base = self.document(like, through)
        base = {name: value for name, value in base.items() if name not in OF_ONE_ROW}
        return base if self.families[like] == family else merge(base, file.defaults)


def _check_names(expected: str, found: Iterable[object], known: Iterable[str]) -> None:
    known = list(known)
    for name in found:
        if name not in known:
            raise InputError(expected, _short(name), nearest(str(name), known))


def _short(value: object) -> str:
    return repr(value)[:80]


def merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> Document:
    """Return ``base`` with ``change``: nested, None removes, another flat ``type`` replaces."""
    found = dict(base)
    for name, value in change.items():
        before = found.get(name)
        if value is None:
            found.pop(name, None)
        elif isinstance(value, dict):
            keeps = isinstance(before, dict) and not _is_other(before, value)
            found[name] = merge(before if keeps and before else {}, value)
        else:
            found[name] = value
    return found


def _is_other(before: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    """Whether ``value`` is another component than the one before, which has no parts."""
    is_flat = not any(isinstance(each, dict) for each in _inside(before))
    return is_flat and "type" in value and value["type"] != before.get("type")


def _inside(component: Mapping[str, Any]) -> Iterator[Any]:
    for value in component.values():
        yield from (value if isinstance(value, list) else [value])


def _invalid(path: Path, entry: str, error: ValidationError) -> InputError:
    """Return the first mistake of a document in one line."""
    first = error.errors()[0]
    setting = ".".join(str(name) for name in first["loc"]) or "sources"
    expected = {"missing": "a value", "extra_forbidden": "a setting that is known"}.get(
        first["type"], first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    )
    got = "nothing" if first["type"] == "missing" else _short(first["input"])
    return InputError(f"{path}, {entry}, {setting}: {expected}", got, "correct that setting")


@dataclass(frozen=True)
class OfficialSplit:
    """Counts of one split; ``annotations`` is None where no public source states it."""

    images: int
    annotations: int | None


@dataclass(frozen=True)
class OfficialSet:
    """A data set as the official runs had it.

    Attributes:
        title: for people.
        categories: how many.
        categories_sha256: of ``[[id, name], ...]`` by id, as JSON without spaces in ASCII.
        train, val: its splits.
    """

    title: str
    categories: int
    categories_sha256: str
    train: OfficialSplit
    val: OfficialSplit


# Counts: cocodataset.org and lvisdataset.org; of Cityscapes, the images that mmdet's converter
# writes. Names and ids of LVIS: mmdet's LVISV1Dataset.METAINFO.
OFFICIAL = {
    "coco": OfficialSet(
        "COCO 2017",
        80,
        "37e7aa108afaf8263d864d8e8ea31cdeefc8b2ef1047c779af820962b96417a4",
        OfficialSplit(118_287, 860_001),
        OfficialSplit(5000, 36_781),
    ),
    "lvis": OfficialSet(
        "LVIS v1",
        1203,
        "9d92cc66643f2eeca64bb462691571efca0b1f74289db7a5ba89d2ad4ea11ac3",
        OfficialSplit(100_170, 1_270_141),
        OfficialSplit(19_809, 244_707),
    ),
    "cityscapes": OfficialSet(
        "Cityscapes",
        8,
        "40595aecb377bd15e7d53285401849b470513c442ed24aceccd4633a4656121b",
        OfficialSplit(2975, None),
        OfficialSplit(500, None),
    ),
}


def official_set(data: Mapping[str, Any]) -> str | None:
    """Return which official set the ``data`` of a run.json is: a key of `OFFICIAL`, or None.

    Published weights were trained elsewhere: their record has the validation split alone.
    """
    return next((name for name in OFFICIAL if is_official(data, name)), None)


def is_official(data: Mapping[str, Any], name: str) -> bool:
    """Return whether the record says in counts and classes that this is the official set."""
    return is_described(data) and not difference(data, name)


def is_described(data: Mapping[str, Any], splits: Collection[str] = ("val",)) -> bool:
    """Return whether the record says which data it is of; one of an older version does not."""
    keys = ["categories", "categories_sha256"]
    keys += [f"{split}_{count}" for split in splits for count in ("images", "annotations")]
    return all(key in data for key in keys)


def difference(data: Mapping[str, Any], name: str) -> str:
    """Return in a few words what the set has and the official one has not; "" if they agree."""
    official = OFFICIAL[name]
    classes, images = data.get("categories"), data.get("val_images")
    if (classes, images) != (official.categories, official.val.images):
        return f"{_count(images)} images, {_count(classes)} classes"
    if data.get("categories_sha256") != official.categories_sha256:
        return f"{_count(classes)} classes of other names or ids"
    splits = {"val": official.val}
    if "train_images" in data or "train_sha256" in data:
        splits["train"] = official.train
    for split, wanted in splits.items():
        images, found = data.get(f"{split}_images"), data.get(f"{split}_annotations")
        if images != wanted.images or found != (wanted.annotations or found) or found is None:
            return f"{split} split of {_count(images)} images, {_count(found)} annotations"
    return ""


def _count(value: object) -> str:
    return str(value) if isinstance(value, int) else "unknown"
