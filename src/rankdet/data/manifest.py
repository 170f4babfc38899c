"""`dataset.json`: what every later step needs to know of a data set, checked once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from rankdet.errors import InputError
from rankdet.files import read_json


@dataclass(frozen=True)
class Split:
    """One split: paths relative to the manifest's folder, or absolute."""

    annotations: str
    images: str
    image_count: int
    annotation_count: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """A prepared data set.

    Attributes:
        name: "digits", "coco", ...; stands in every result made from it.
        format: "coco" or "lvis".
        classes: names in the order of the category ids.
        folder: where the manifest lies.
        train, val: the two splits.
    """

    name: str
    format: str
    classes: list[str]
    folder: Path
    train: Split
    val: Split

    def annotations(self, split: str) -> Path:
        """Return the absolute path of the annotation file of ``split``."""
        return self.folder / getattr(self, split).annotations

    def images(self, split: str) -> Path:
        """Return the absolute path of the image folder of ``split``."""
        return self.folder / getattr(self, split).images

    def as_json(self) -> dict:
        """Return what is written to ``dataset.json``."""
        content = asdict(self)
        del content["folder"]
        return content


def load_manifest(path: str | Path) -> Manifest:
    """Read ``dataset.json`` (or the folder that holds it) and check that its files are there.

    Raises:
        InputError: if the manifest or what it names is missing.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "dataset.json"
    content = read_json(path, "a data set prepared by `rankdet prepare`")
    try:
        splits = {name: Split(**content.pop(name)) for name in ("train", "val")}
        manifest = Manifest(folder=path.parent.resolve(), **content, **splits)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            "a dataset.json written by `rankdet prepare`", f"{path} ({error})", "prepare it again"
        ) from None
    for split in ("train", "val"):
        for place in (manifest.annotations(split), manifest.images(split)):
            if not place.exists():
                raise InputError(
                    f"the data that {path} names", f"no {place}", "run `rankdet prepare` again"
                )
    return manifest
