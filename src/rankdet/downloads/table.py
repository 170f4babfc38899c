"""What can be fetched: ``downloads.csv`` (data, backbones) and ``checkpoints.csv``, validated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from rankdet.catalogue import Entry
from rankdet.catalogue.catalogue import Name, read_rows
from rankdet.catalogue.official import NONE
from rankdet.errors import InputError, nearest
from rankdet.paths import configs_dir

Size = Annotated[int, Field(ge=1)]
# Eight digits are the start of a hash, as it stands in the names of PyTorch's model files.
Sha256 = Annotated[str, Field(pattern=r"^([0-9a-f]{8}|[0-9a-f]{64})?$")]
Md5 = Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Download(BaseModel):
    """A file and what is known about it.

    Attributes:
        kind: "data"; "backbone" or "model", from which a training starts; "checkpoint", which is
            what came of one.
        name: what the command line calls it.
        checkpoint: what configs of the official runs call it.
        file: its name on disk.
        urls: addresses with spaces between, tried in this order; none: by hand.
        size_bytes: None if not known.
        sha256: the whole hash, its first eight digits, or "".
        md5: or "".
        members: of an archive, which files are taken out of it (patterns with spaces between).
        count: how many these are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", title="downloads.csv: one file")

    kind: Literal["data", "backbone", "model", "checkpoint"]
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_/]*$")]
    checkpoint: str = ""
    file: FileName
    urls: str = ""
    size_bytes: Size | None = None
    sha256: Sha256 = ""
    md5: Md5 = ""
    members: str = ""
    count: Size | None = None
    used_by: str = ""
    source: str = ""
    note: str = ""

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses in the order in which they are tried."""
        return tuple(self.urls.split())

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns of ``members``."""
        return tuple(self.members.split())


class PublishedModel(BaseModel):
    """One line of ``checkpoints.csv``: where the official trained model of an entry is."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="checkpoints.csv: one model")

    entry_id: Name
    repository: str
    model_url: str = ""
    log_url: str = ""
    size_bytes: Size | None = None
    sha256: Sha256 = ""
    note: str = ""


def load_downloads(folder: Path | None = None) -> list[Download]:
    """Return the rows of ``downloads.csv``; names and files are unique.

    Raises:
        InputError: naming line, column and value of the first mistake.
    """
    path = (folder or configs_dir()) / "downloads.csv"
    rows: list[Download] = []
    taken: set[str] = set()
    for line, row in read_rows(path, Download):
        for column in ("name", "file"):
            value = getattr(row, column)
            if value in taken:
                expected = f"{path}, line {line}, column {column}: a value that no other line has"
                raise InputError(expected, repr(value), "correct that cell")
            taken.add(value)
        rows.append(row)
    return rows


def data_set(name: str, rows: list[Download] | None = None) -> list[Download]:
    """Return the archives of a data set: those called ``<name>/...``."""
    rows = load_downloads() if rows is None else rows
    return [row for row in rows if row.kind == "data" and row.name.startswith(f"{name}/")]


def find_backbone(name: str, rows: list[Download] | None = None) -> Download:
    """Return weights to start from by their name, their file, or what a config calls them."""
    rows = load_downloads() if rows is None else rows
    rows = [row for row in rows if row.kind in ("backbone", "model")]
    for row in rows:
        if name in (row.name, row.file) or (name and name == row.checkpoint):
            return row
    raise InputError(
        "a backbone of configs/downloads.csv",
        repr(name),
        nearest(name, [row.name for row in rows], count=len(rows)),
    )


def backbone_of(entry: Entry, rows: list[Download] | None = None) -> Download | None:
    """Return the weights that the official run of ``entry`` started from; None if from scratch.

    The address wins over the name: ``torchvision://resnet50`` was another file in 2020 than today.
    """
    rows = load_downloads() if rows is None else rows
    backbone = entry.official.backbone
    if backbone is None or backbone.pretrained in (None, NONE):
        whole = (row for row in rows if row.kind == "model")
        return next((row for row in whole if entry.entry_id in row.used_by.split()), None)
    file = (backbone.pretrained_url or "").rsplit("/", 1)[-1]
    if any(row.kind == "backbone" and row.file == file for row in rows):
        return find_backbone(file, rows)
    return find_backbone(backbone.pretrained, rows)


def published_model(entry: Entry, folder: Path | None = None) -> Download | str:
    """Return the official trained model of ``entry`` as a download, or why there is none."""
    path = (folder or configs_dir()) / "checkpoints.csv"
    for _, row in read_rows(path, PublishedModel):
        if row.entry_id != entry.entry_id:
            continue
        if not row.model_url:
            return row.note or f"{row.repository} gives no address"
        return Download(
            kind="checkpoint",
            name=row.entry_id,
            file=f"{row.entry_id}.pth",
            urls=row.model_url,
            size_bytes=row.size_bytes,
            sha256=row.sha256,
            used_by=row.entry_id,
            source=row.repository,
            note=row.note,
        )
    return "no trained model was published for it"
