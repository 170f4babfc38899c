"""CSV to validated rows; a mistake is named by file, line, column and value."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from rankdet.errors import InputError, nearest

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
