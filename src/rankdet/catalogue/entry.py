"""One line of ``experiments.csv``: an entry of a published table and how it was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, Json, PrivateAttr

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]
# A CSV reader that sees only numbers in this column hands over integers, otherwise text.
CountOrUnknown = (
    Annotated[int, Field(ge=1)] | Annotated[str, Field(pattern=r"^([0-9]{1,9}|unknown)$")]
)


class Entry(BaseModel):
    """Facts of the official run; a field that no source states is None or empty.

    ``verified`` names, per group of fields, where the facts were read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", title="experiments.csv: one entry")

    entry_id: Name
    status: Literal["seed", "extension", "control"]
    family: Name
    table_slug: Slug
    seed: str = ""
    paper: Text
    table: Text
    row_label: Text
    detector: Text
    backbone: Text
    neck: str = ""
    loss_cls: Text
    loss_bbox: str = ""
    loss_mask: str = ""
    dataset: Literal["coco", "lvis", "cityscapes"]
    train_scale: str = ""
    test_scale: str = ""
    epochs: Count | None = None
    lr_policy: str = ""
    lr_steps: str = ""
    optimizer: str = ""
    base_lr: Rate | None = None
    momentum: Rate | None = None
    weight_decay: Rate | None = None
    grad_clip: str = ""
    warmup: str = ""
    warmup_iters: Count | None = None
    warmup_ratio: str = ""
    samples_per_gpu: Count | None = None
    gpus_official: str = ""
    total_batch: CountOrUnknown | None = None
    workers_per_gpu: Count | None = None
    augmentations: str = ""
    pretrained: str = ""
    pretrained_url: str = ""
    img_mean: str = ""
    img_std: str = ""
    to_rgb: str = ""
    frozen_stages: str = ""
    norm_eval: str = ""
    dcn: str = ""
    anchors: str = ""
    box_coder_stds: str = ""
    assigner: str = ""
    sampler: str = ""
    head_type: str = ""
    loss_hparams: str = ""
    score_thr: str = ""
    nms: str = ""
    nms_iou: Annotated[float, Field(gt=0, le=1)] | None = None
    max_per_img: Count | None = None
    nms_pre: str = ""
    test_other: str = ""
    metrics_to_report: str = ""
    official_repo: str = ""
    official_config: str = ""
    repo_commit: str = ""
    verified: Json[dict[str, str]]
    notes: str = ""

    _configs: Path = PrivateAttr(default=Path("configs"))

    @property
    def config_path(self) -> Path:
        """The entry's config, ``configs/<family>/<entry_id>.py``; it need not exist yet."""
        return self._configs / self.family / f"{self.entry_id}.py"

    @property
    def pool_images(self) -> int | None:
        """Images that the official loss ranks together: those of one GPU. None if unknown."""
        return self.samples_per_gpu

    @property
    def iou_types(self) -> tuple[str, ...]:
        """What its detections are measured by: boxes, masks or both; SOLOv2 has masks only."""
        if not self.loss_mask:
            return ("bbox",)
        return ("bbox", "segm") if self.loss_bbox else ("segm",)

    @property
    def official_batch(self) -> int | None:
        """Images per optimizer step of the official run, or None if no source states it."""
        return int(self.total_batch) if self.total_batch not in (None, "unknown") else None

    @property
    def has_official_config(self) -> bool:
        """Whether the official repository holds a config; ``(none ...)`` says it does not."""
        return bool(self.official_config) and not self.official_config.startswith("(")
