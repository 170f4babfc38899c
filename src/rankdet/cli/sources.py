"""Annotations and detections as the verbs of the evaluator are given them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankdet.datasets.manifest import check_unchanged
from rankdet.errors import InputError
from rankdet.files import read_json

AnnotationsPath = Annotated[
    Path | None, typer.Option("--annotations", help="COCO or LVIS v1 annotations.")
]
DatasetPath = Annotated[
    Path | None,
    typer.Option(
        "--dataset",
        help="Instead of --annotations: a dataset.json (rankdet prepare), or its folder.",
    ),
]
ProtocolName = Annotated[
    str | None,
    typer.Option("--protocol", help="coco or lvis; default: the manifest's, else coco."),
]


def ground_truth(
    annotations: Path | None, dataset: Path | None, protocol: str | None
) -> tuple[Path, str | None]:
    """Return the annotation file and the protocol: those of the data set, if one is given.

    Raises:
        InputError: if not exactly one is given, or the data set has changed since it was prepared.
    """
    if (annotations is None) == (dataset is None):
        raise InputError(
            "either --annotations or --dataset", "both or neither", "give exactly one of them"
        )
    if dataset is not None:
        what = 'a dataset manifest {"format", "val": {"annotations"}}'
        if dataset.is_dir():
            dataset = dataset / "dataset.json"
        manifest = read_json(dataset, what)
        try:
            split = manifest["val"]
            annotations = dataset.parent / split["annotations"]
            prepared = [(annotations, split.get("sha256"))]
            prepared += [(dataset.parent / split.get("source", ""), split.get("source_sha256"))]
        except (TypeError, KeyError, AttributeError):
            raise InputError(what, str(dataset), "write it with `rankdet prepare`") from None
        for path, sha256 in prepared:  # a user's own manifest may have no hash
            if isinstance(sha256, str) and sha256 and path.is_file():
                check_unchanged(path, sha256)
        protocol = protocol or manifest.get("format")
    assert annotations is not None  # one of the two was given
    return annotations, protocol


def detections_file(given: Path) -> Path:
    """Return a results file: the given one, or detections.json in the given folder.

    Raises:
        InputError: if there is none.
    """
    path = given / "detections.json" if given.is_dir() else given
    if not path.is_file():
        what = "a results file, or a folder with detections.json"
        raise InputError(what, f"no file at {path}", "check the path")
    return path


def names_of(first: Path, second: Path) -> tuple[str, str]:
    """Return a short name for each of two results files: the first that tells them apart."""
    for count in (1, 2):
        names = ["/".join(path.parts[-count:]) for path in (first, second)]
        if names[0] != names[1]:
            return names[0], names[1]
    return str(first), str(second)
