"""One line of ``experiments.csv``: which row of which published table an entry is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from rankdet.catalogue.official import OfficialSettings

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Text = Annotated[str, Field(min_length=1)]


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
