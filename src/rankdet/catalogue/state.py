"""How far an entry has come, and on which code and config: hashes, rehearsals, measured presets.

All of it is computed from what lies on disk. Nothing here runs a config, and nothing imports torch.
"""

from __future__ import annotations

import ast
import csv
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from rankdet.catalogue.catalogue import Catalogue, Entry
from rankdet.errors import InputError
from rankdet.files import read_json
from rankdet.hashing import content_sha256, json_sha256
from rankdet.outputs import write_text
from rankdet.paths import configs_dir


def config_files(entry: Entry) -> list[Path]:
    """Return the config of ``entry`` and all local files it stands on, the entry's own first.

    Bases of an installed package (``mmdet::...``) are left out: the version pins them.

    Raises:
        InputError: if a file is missing, is not Python, or its ``_base_`` is not a literal.
    """
    found: dict[Path, None] = {}
    pending = [entry.config_path]
    while pending:
        path = pending.pop(0)
        if path not in found:
            found[path] = None
            local = [base for base in _bases(path, entry.entry_id) if "::" not in base]
            pending += [(path.parent / base).resolve() for base in local]
    return list(found)


def _bases(path: Path, entry_id: str) -> list[str]:
    expected = f"the config of {entry_id}"
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except OSError:
        raise InputError(
            expected, f"no file at {path}", "`rankdet list` shows which entries have a config"
        ) from None
    except SyntaxError as error:
        raise InputError(
            expected, f"{path}, line {error.lineno}: {error.msg}", "correct that line"
        ) from None
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "_base_" for target in node.targets
        ):
            try:
                value = ast.literal_eval(node.value)
            except ValueError:
                value = None
            names = [value] if isinstance(value, str) else value
            if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
                return list(names)
            raise InputError(
                f"{path}, line {node.lineno}: `_base_` as a string or a list of strings",
                ast.unparse(node.value),
                "write the paths out: the DAG reads them without running the config",
            )
    return []


PACKAGE = Path(__file__).parents[1]
# What decides whether a row runs. Reports, commands and the cluster come after or around it.
ROOMS = ("losses", "evaluation", "models", "datasets", "weights", "training")
FILES = ("catalogue/preset_table.py", "catalogue/presets.py")


def code_identity(entry: Entry) -> str:
    """Return a hash of the package's code and of the files of the entry's config."""
    files = [(path.name, path) for path in config_files(entry)]
    return content_sha256(_package_identity().encode() + _content(files))[:16]


@cache
def _package_identity() -> str:
    paths = [path for room in ROOMS for path in sorted((PACKAGE / room).rglob("*.py"))]
    paths += [PACKAGE / name for name in FILES]
    return content_sha256(_content((path.relative_to(PACKAGE).as_posix(), path) for path in paths))


def _content(files: Iterable[tuple[str, Path]]) -> bytes:
    """Return names and contents of files, each ended by a zero byte."""
    return b"".join(name.encode() + b"\0" + path.read_bytes() + b"\0" for name, path in files)


def config_identity(entry: Entry) -> str:
    """Return a hash of the code in the entry's config and in all local files it stands on.

    Raises:
        InputError: if a file is missing or is not Python.
    """
    files = config_files(entry)
    return json_sha256([[path.name, _code(path, path.stat().st_mtime_ns)] for path in files])


def table_identity(catalogue: Catalogue, entries: Iterable[Entry] | None = None) -> str:
    """Return a hash of what the catalogue says of ``entries``: labels, settings, figures.

    Args:
        catalogue: where the figures are.
        entries: in the order of their table; by default all.
    """
    return json_sha256(
        [
            [
                entry.model_dump(mode="json"),
                entry.official.model_dump(mode="json", exclude_none=True),
                [value.model_dump(mode="json") for value in catalogue.published(entry.entry_id)],
            ]
            for entry in (catalogue if entries is None else entries)
        ]
    )


@cache
def _code(path: Path, changed: int) -> str:
    """Return a config in Python's own layout, without comments and strings that stand alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]
    return ast.unparse(tree)


PRESET = "rehearsal"
RECORD = "rehearsed.csv"  # beside the catalogue


@dataclass(frozen=True)
class Rehearsal:
    """One row's rehearsal that ended with an evaluation.

    Attributes:
        entry: its id.
        code: `code_identity` of the run.
        iterations: steps that were trained.
        seconds: of the training.
        processes: that trained together.
        passes: of each step.
    """

    entry: str
    code: str
    iterations: int
    seconds: float
    processes: int
    passes: int


def rehearsals_of(results: str | Path, entries: Iterable[Entry]) -> list[Rehearsal]:
    """Return the rehearsals that lie complete in ``results``, by row."""
    found = []
    for entry in entries:
        folder = Path(results) / PRESET / entry.entry_id
        run = folder / "run.json"
        if not run.is_file() or not (folder / "metrics.json").is_file():
            continue
        record = read_json(run, "the record of a training")
        if not isinstance(record, dict):
            raise InputError("the record of a training, a JSON object", str(run), "run it again")
        if not record.get("code"):
            continue
        found.append(_rehearsal(run, record | {"entry": entry.entry_id}))
    return found


def recorded_rehearsals(path: Path | None = None) -> list[Rehearsal]:
    """Return the rehearsals of a record, by default of that beside the catalogue.

    Raises:
        InputError: if the record is not one.
    """
    path = path or configs_dir() / RECORD
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _no_record(path, error) from None
    return [_rehearsal(path, row) for row in rows]


def _rehearsal(path: Path, row: Mapping[str, Any]) -> Rehearsal:
    try:
        seconds = float(row["seconds"])
        counts = [int(row[name]) for name in ("iterations", "processes", "passes")]
        if not (0 <= seconds < math.inf and isinstance(row["code"], str) and row["entry"]):
            raise ValueError("values that no rehearsal has")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _no_record(path, error) from None
    return Rehearsal(row["entry"], row["code"], counts[0], seconds, *counts[1:])


def _no_record(path: Path, error: Exception) -> InputError:
    expected = "a record of rehearsals (`rankdet report rehearsal`)"
    return InputError(expected, f"{path} ({error})", "write it again")


def record_rehearsals(found: list[Rehearsal], target: Path | None = None) -> Path:
    """Write ``found`` as the record that a fresh clone reads; return its path."""
    target = target or configs_dir() / RECORD
    stream = io.StringIO()
    names = [field.name for field in fields(Rehearsal)]
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(each) for each in found)
    write_text(target, stream.getvalue())
    return target


# Detectors of mmdet's projects/ folder, which no release of mmdet holds: their rows stay for their
# figures.
NOT_IN_MMDET = {"CoDETR"}


@dataclass(frozen=True)
class State:
    """How far a row is.

    Attributes:
        label: for people.
        has_config: whether there is a config to run it.
        measured: the presets with a finished evaluation.
        is_rehearsed: whether preset rehearsal ran to its end with this code.
    """

    label: str
    has_config: bool
    measured: tuple[str, ...] = ()
    is_rehearsed: bool = False


def entry_state(
    entry: Entry, results: str | Path = "results", *, has_figures: bool = True
) -> State:
    """Return the state of ``entry``.

    Args:
        entry: the entry.
        results: folder with ``<preset>/<entry>/metrics.json``.
        has_figures: whether any figure is published; without one and without an official config
            a row is no more than a name.
    """
    has_config = entry.config_path.is_file()
    presets = {
        path.relative_to(results).parts[0]
        for place in ("metrics.json", "seed-*/metrics.json")
        for path in Path(results).glob(f"*/{entry.entry_id}/{place}")
    }
    measured = tuple(sorted(presets - {PRESET}))
    rehearsed = has_config and is_rehearsed(entry, results)
    if measured:
        label = f"measured ({', '.join(measured)})"
    elif has_config:
        label = "runnable" if rehearsed else "not rehearsed with this code"
    elif entry.official.config and _detector(entry) not in NOT_IN_MMDET:
        label = "no config yet"
    else:
        label = "published only" if has_figures else "named only"
    return State(label, has_config, measured, rehearsed)


def _detector(entry: Entry) -> str | None:
    return entry.official.model.detector if entry.official.model else None


def is_rehearsed(entry: Entry, results: str | Path = "results") -> bool:
    """Return whether preset rehearsal of ``entry`` ran to its end with this code.

    Either in ``results``, or as recorded beside the catalogue.
    """
    found = [*rehearsals_of(results, [entry]), *recorded_rehearsals()]
    code = code_identity(entry)
    return any(each.entry == entry.entry_id and each.code == code for each in found)
