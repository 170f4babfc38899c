"""One line of ``published.csv``: one figure that somebody published for an entry."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from rankdet.catalogue.entry import Name

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
    def key(self) -> tuple[str, str | None, str]:
        """Which column of a table the figure belongs to: split, IoU type, metric."""
        return self.split, self.iou_type, self.metric

    @property
    def is_official(self) -> bool:
        """Whether the authors' own table or model zoo states the figure."""
        return not self.source.startswith(UNOFFICIAL)
