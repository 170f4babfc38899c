"""The catalogue's tables: entries, published figures, tables of the papers, stated deviations."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from rankdet.catalogue.official import OfficialSettings, Text
from rankdet.catalogue.official_files import read_official
from rankdet.errors import InputError, nearest
from rankdet.paths import configs_dir
from rankdet.paths import configs_dir as default_configs_dir

Row = TypeVar("Row", bound=BaseModel)


def read_rows(path: Path, model: type[Row]) -> Iterator[tuple[int, Row]]:
    """Yield ``(line, row)`` for each data line of ``path``, validated by ``model``.

    An empty cell is an absent value.

    Raises:
        InputError: if the file is missing, a column is missing, unknown or doubled, a line has
            another number of cells than the header, or a value does not fit its column.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            header = next(reader, [])
            _check_header(path, header, model)
            for cells in reader:
                if cells:
                    yield reader.line_num, _row(path, reader.line_num, header, cells, model)
    except OSError as error:
        raise InputError(
            f"the table {path.name}", f"{path}: {error.strerror}", "check the folder of the configs"
        ) from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} to be CSV in UTF-8", str(error), "check the quotes of that line"
        ) from None


def _check_header(path: Path, header: list[str], model: type[BaseModel]) -> None:
    known = list(model.model_fields)
    for column in header:
        if column not in known:
            raise InputError(
                f"{path}, line 1: the columns {known[0]} ... {known[-1]}",
                f"an unknown column {column!r}",
                nearest(column, known),
            )
    for column in known:
        if header.count(column) != 1:
            raise InputError(
                f"{path}, line 1: each column once",
                f"{column!r} {header.count(column)} times",
                "correct the header line",
            )


def _row(path: Path, line: int, header: list[str], cells: list[str], model: type[Row]) -> Row:
    if len(cells) != len(header):
        raise InputError(
            f"{path}, line {line}: {len(header)} cells as in the header",
            f"{len(cells)} cells",
            "quote a cell that holds a comma",
        )
    try:
        return model(**{name: cell for name, cell in zip(header, cells, strict=True) if cell})
    except ValidationError as error:
        errors = error.errors()
        column = str(errors[0]["loc"][0])
        # A column that takes one of several kinds fails once for each kind.
        wanted = [_required(each) for each in errors if each["loc"][0] == column]
        raise InputError(
            f"{path}, line {line}, column {column}: {', or '.join(wanted)}",
            repr(cells[header.index(column)]),
            "correct that cell",
        ) from None


def _required(error: Mapping[str, Any]) -> str:
    """Say what a cell should hold; an empty cell never reaches the model, so it is 'missing'."""
    return (
        "a value" if error["type"] == "missing" else error["msg"].removeprefix("Input should be ")
    )


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]


class Entry(BaseModel):
    """What a row is and where it is printed; `official` says how its official run was set."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="experiments.csv: one entry")

    entry_id: Name
    status: Literal["seed", "extension", "control"]
    family: Name
    paper: Text
    table: Text
    table_slug: Slug
    row_label: Text
    detector: Text
    backbone: Text
    loss_cls: Text
    dataset: Literal["coco", "lvis", "cityscapes"]
    detections: Literal["bbox", "segm", "bbox segm"]

    _configs: Path = PrivateAttr(default=Path("configs"))
    _official: OfficialSettings = PrivateAttr(default=OfficialSettings())

    @property
    def config_path(self) -> Path:
        """The entry's config, ``configs/<family>/<entry_id>.py``; it need not exist yet."""
        return self._configs / self.family / f"{self.entry_id}.py"

    @property
    def official(self) -> OfficialSettings:
        """The settings of the official run."""
        return self._official

    @property
    def iou_types(self) -> tuple[str, ...]:
        """What its detections are measured by: boxes, masks or both; SOLOv2 has masks only."""
        return tuple(self.detections.split())


Key = tuple[str, str | None, str]  # split, IoU type, metric

# Not from the authors' own tables: shown by `rankdet show`, never a column of a table.
UNOFFICIAL = ("third party", "issue ")


class PublishedValue(BaseModel):
    """A published figure as printed: AP and oLRP in percent, times in seconds.

    ``value`` is None where the published cell is not filled (the source says with what);
    ``iou_type`` is None for a figure that is no metric, such as the time of an iteration.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", title="published.csv: one figure")

    entry_id: Name
    split: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    iou_type: Literal["bbox", "segm"] | None = None
    metric: Annotated[str, Field(min_length=1)]
    value: Annotated[float, Field(ge=0, le=100)] | None = None
    source: Annotated[str, Field(min_length=1)]

    @property
    def key(self) -> Key:
        """Which column of a table the figure belongs to."""
        return self.split, self.iou_type, self.metric

    @property
    def needs_server(self) -> bool:
        """Whether the annotations of the split are not public."""
        return "test" in self.split

    @property
    def is_official(self) -> bool:
        """Whether the authors' own table or model zoo states the figure."""
        return not self.source.startswith(UNOFFICIAL)


@dataclass(frozen=True)
class Table:
    """A published table: its entries in the published order."""

    slug: str
    paper: str
    title: str
    entries: tuple[Entry, ...]


class Catalogue:
    """Entries by id, in the order of the file; read it with `load_catalogue`.

    The methods of studies are found by their id, but stand in no table and are not iterated over.
    """

    def __init__(
        self,
        entries: list[Entry],
        published: list[PublishedValue],
        methods: Sequence[Entry] = (),
    ) -> None:
        self._entries = {entry.entry_id: entry for entry in entries}
        self._methods = {entry.entry_id: entry for entry in methods}
        self._published: dict[str, list[PublishedValue]] = {}
        for value in published:
            self._published.setdefault(value.entry_id, []).append(value)

    def __getitem__(self, entry_id: str) -> Entry:
        if entry_id in self._methods:
            return self._methods[entry_id]
        if entry_id not in self._entries:
            raise InputError(
                "an entry of the catalogue (rankdet list shows all)",
                repr(entry_id),
                nearest(entry_id, self._entries),
            )
        return self._entries[entry_id]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    @property
    def methods(self) -> tuple[Entry, ...]:
        """The methods of all studies."""
        return tuple(self._methods.values())

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, entry_id: object) -> bool:
        return entry_id in self._entries or entry_id in self._methods

    def published(self, entry_id: str) -> tuple[PublishedValue, ...]:
        """Return the published figures of an entry, the authors' own and others'."""
        return tuple(self._published.get(self[entry_id].entry_id, ()))

    def official_values(self, entry_id: str) -> dict[Key, PublishedValue]:
        """Return the authors' own figures of an entry by split, IoU type and metric."""
        return {each.key: each for each in self.published(entry_id) if each.is_official}

    @property
    def tables(self) -> tuple[Table, ...]:
        """All tables, paper by paper, in the order in which the file first names them."""
        papers: dict[str, dict[str, list[Entry]]] = {}
        for entry in self:
            papers.setdefault(entry.paper, {}).setdefault(entry.table_slug, []).append(entry)
        return tuple(
            Table(slug, paper, entries[0].table, tuple(entries))
            for paper, tables in papers.items()
            for slug, entries in tables.items()
        )

    def table(self, slug: str) -> Table:
        """Return the table with this slug, such as ``rank-sort-one-stage``."""
        tables = {table.slug: table for table in self.tables}
        if slug not in tables:
            raise InputError("the slug of a table", repr(slug), nearest(slug, tables))
        return tables[slug]


def load_catalogue(configs_dir: str | Path | None = None) -> Catalogue:
    """Read and validate ``experiments.csv``, ``published.csv`` and ``official/*.yaml``.

    Args:
        configs_dir: the folder of all; default `rankdet.paths.configs_dir`.

    Raises:
        InputError: naming the file, its line and column or its entry and setting, and the value of
            the first mistake.
    """
    folder = Path(configs_dir) if configs_dir is not None else default_configs_dir()
    entries = _read_entries(folder)
    published = _read_published(folder, {entry.entry_id for entry in entries})
    return Catalogue(entries, published, _methods(folder))


def _methods(folder: Path) -> list[Entry]:
    """Return the methods of all studies as entries."""
    from rankdet.catalogue.studies import load_studies

    found = []
    for name, study in load_studies(folder).items():
        for entry_id, method in study.methods.items():
            entry = Entry(
                entry_id=entry_id,
                status="extension",
                family="study",
                paper=study.title,
                table=study.title,
                table_slug=f"study-{name}",
                row_label=method.label,
                detector=method.detector,
                backbone="ResNet-18, narrow",
                loss_cls=method.loss,
                dataset="coco",
                detections="bbox",
            )
            entry._configs = folder
            found.append(entry)
    return found


def _read_entries(folder: Path) -> list[Entry]:
    path = folder / "experiments.csv"
    entries: dict[str, Entry] = {}
    slug_of: dict[tuple[str, str], str] = {}
    table_of: dict[str, tuple[str, str]] = {}
    for line, entry in read_rows(path, Entry):
        if entry.entry_id in entries:
            raise _clash(path, line, "entry_id", "an id that no other line has", entry.entry_id)
        table = (entry.paper, entry.table)
        if slug_of.setdefault(table, entry.table_slug) != entry.table_slug:
            expected = f"{slug_of[table]!r}, as on the other lines of this table"
            raise _clash(path, line, "table_slug", expected, entry.table_slug)
        if table_of.setdefault(entry.table_slug, table) != table:
            expected = f"a slug that is not taken by {table_of[entry.table_slug][1]!r}"
            raise _clash(path, line, "table_slug", expected, entry.table_slug)
        entries[entry.entry_id] = entry
    official = read_official(folder, {name: entry.family for name, entry in entries.items()})
    for name, entry in entries.items():
        entry._configs, entry._official = folder, official[name]
    return list(entries.values())


def _read_published(folder: Path, entry_ids: set[str]) -> list[PublishedValue]:
    path = folder / "published.csv"
    values: list[PublishedValue] = []
    seen: set[tuple[str | None, ...]] = set()
    for line, value in read_rows(path, PublishedValue):
        if value.entry_id not in entry_ids:
            expected = "an entry of experiments.csv"
            raise _clash(path, line, "entry_id", expected, value.entry_id, entry_ids)
        if value.is_official:
            # Users' reports may well differ about one figure; the authors' table may not.
            key = (value.entry_id, *value.key)
            if key in seen:
                expected = "one official figure for each entry, split, IoU type and metric"
                raise _clash(path, line, "metric", expected, value.metric)
            seen.add(key)
        values.append(value)
    return values


def _clash(
    path: Path, line: int, column: str, expected: str, got: str, known: set[str] | None = None
) -> InputError:
    fix = nearest(got, known) if known else "correct that cell"
    return InputError(f"{path}, line {line}, column {column}: {expected}", repr(got), fix)


class Deviation(BaseModel):
    """One thing in which a run here is not the official one.

    Attributes:
        entries: patterns of entry ids, with ``*``, between blanks.
        setting: the path of a setting, with ``*``; empty for a behavior that no setting states.
        official: there.
        here: in this package; of a setting, its value.
        reason: why.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", title="deviations.csv: one deviation")

    entries: Text
    setting: str = ""
    official: Text
    here: Text
    reason: Text

    def is_about(self, entry_id: str) -> bool:
        """Whether it concerns this row."""
        return any(fnmatchcase(entry_id, pattern) for pattern in self.entries.split())

    def explains(self, entry_id: str, other: Deviation) -> bool:
        """Whether it states what ``other`` found in this row."""
        same = (self.official, self.here) == (other.official, other.here)
        return same and self.is_about(entry_id) and fnmatchcase(other.setting, self.setting)


def stated_deviations(folder: Path | None = None) -> list[Deviation]:
    """Read ``deviations.csv``, by default the one beside the catalogue; none without the file.

    Raises:
        InputError: naming line, column and value of the first mistake.
    """
    path = (folder or configs_dir()) / "deviations.csv"
    return [line for _, line in read_rows(path, Deviation)] if path.exists() else []
