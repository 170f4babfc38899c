"""All entries with their published figures, grouped by paper and table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rankdet.catalogue.entry import Entry
from rankdet.catalogue.official_files import read_official
from rankdet.catalogue.published import PublishedValue
from rankdet.catalogue.read import read_rows
from rankdet.errors import InputError, nearest
from rankdet.paths import configs_dir as default_configs_dir


@dataclass(frozen=True)
class Table:
    """A published table: its entries in the published order."""

    slug: str
    paper: str
    title: str
    entries: tuple[Entry, ...]


class Catalogue:
    """Entries by id, in the order of the file; read it with `load_catalogue`."""

    def __init__(self, entries: list[Entry], published: list[PublishedValue]) -> None:
        self._entries = {entry.entry_id: entry for entry in entries}
        self._published: dict[str, list[PublishedValue]] = {}
        for value in published:
            self._published.setdefault(value.entry_id, []).append(value)

    def __getitem__(self, entry_id: str) -> Entry:
        if entry_id not in self._entries:
            raise InputError(
                "an entry of the catalogue (rankdet list shows all)",
                repr(entry_id),
                nearest(entry_id, self._entries),
            )
        return self._entries[entry_id]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, entry_id: object) -> bool:
        return entry_id in self._entries

    def published(self, entry_id: str) -> tuple[PublishedValue, ...]:
        """Return the published figures of an entry, the authors' own and others'."""
        return tuple(self._published.get(self[entry_id].entry_id, ()))

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
    return Catalogue(entries, _read_published(folder, {entry.entry_id for entry in entries}))


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
            wish = f"{slug_of[table]!r}, as on the other lines of this table"
            raise _clash(path, line, "table_slug", wish, entry.table_slug)
        if table_of.setdefault(entry.table_slug, table) != table:
            wish = f"a slug that is not taken by {table_of[entry.table_slug][1]!r}"
            raise _clash(path, line, "table_slug", wish, entry.table_slug)
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
            wish = "an entry of experiments.csv"
            raise _clash(path, line, "entry_id", wish, value.entry_id, entry_ids)
        if value.is_official:
            # Users' reports may well differ about one figure; the authors' table may not.
            key = (value.entry_id, *value.key)
            if key in seen:
                wish = "one official figure for each entry, split, IoU type and metric"
                raise _clash(path, line, "metric", wish, value.metric)
            seen.add(key)
        values.append(value)
    return values


def _clash(
    path: Path, line: int, column: str, wish: str, got: str, known: set[str] | None = None
) -> InputError:
    todo = nearest(got, known) if known else "correct that cell"
    return InputError(f"{path}, line {line}, column {column}: {wish}", repr(got), todo)
