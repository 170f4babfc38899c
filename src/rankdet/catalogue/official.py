"""The settings of the official runs, typed; ``official_files`` reads them from YAML."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

NONE = "none"  # a setting that the official run had as None
UNKNOWN = "unknown"  # a setting that no source states

Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Channels = Annotated[tuple[Number, ...], Field(min_length=3, max_length=3)]
CountOrUnknown = Count | Literal["unknown"]


class Settings(BaseModel):
    """A group of settings; None is a setting that the official run does not have."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Component(Settings):
    """A part that a class of the official code does: its name and its settings."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: Text


class Files(Settings):
    """Annotations and images of one split."""

    dataset: Text
    annotations: Text
    images: Text


class TrainingFiles(Files):
    """Files that are trained on, and which of their images."""

    filter_empty_gt: bool | None = None
    min_size: Annotated[int, Field(ge=0)] | None = None
    wrapper: dict[str, dict[str, Number]] | None = None


class Data(Settings):
    """What is trained on and what is measured on."""

    train: TrainingFiles
    test: Files


class Step(Component):
    """A transform of an image and its objects; sizes in pixels, longest side first."""

    scale: tuple[Count, Count] | tuple[tuple[Count, Count], ...] | None = None
    short_side: Count | None = None
    longest: Rate | None = None


class Images(Settings):
    """From a file to the input of the network: transforms in their order, then normalization."""

    mean: Channels | None = None
    std: Channels | None = None
    bgr_to_rgb: bool | None = None
    pad_size_divisor: Count | None = None
    pad_mask: bool | None = None
    train: tuple[Step, ...] = ()
    test: tuple[Step, ...] = ()


class Batch(Settings):
    """Images of a GPU and of an optimizer step, and their order."""

    samples_per_gpu: Count | None = None
    gpus: CountOrUnknown | None = None
    total: CountOrUnknown | None = None
    workers_per_gpu: Count | None = None
    sampler: Component | None = None
    grouping: Component | None = None


class Optimizer(Component):
    """The optimizer; ``lr`` is the learning rate after the warm-up."""

    lr: Rate
    momentum: Rate | None = None
    weight_decay: Rate


class GradClip(Settings):
    """The largest norm of all gradients together."""

    max_norm: Rate
    norm_type: Count


class Warmup(Settings):
    """How the learning rate rises: ``ratio`` of it at first, all of it after ``iterations``."""

    type: Text
    iterations: Count
    ratio: Share


class Policy(Component):
    """How the learning rate falls, in epochs."""

    milestones: tuple[Count, ...] | None = None
    gamma: Rate | None = None


class Schedule(Settings):
    """Optimizer and learning rate over a training."""

    epochs: Count | None = None
    optimizer: Optimizer | None = None
    grad_clip: GradClip | Literal["none"] | None = None
    steps_on: Text | None = None
    warmup: Warmup | None = None
    policy: Policy | None = None
    start_from: Text | None = None
    hooks: tuple[Component, ...] | None = None


class Loss(Settings):
    """One loss of a head with its numbers, as its class calls them."""

    type: Text
    loss_weight: Number | None = None
    delta: Rate | None = None
    eps: Rate | None = None
    gamma: Rate | None = None
    alpha: Share | None = None
    beta: Rate | None = None
    top_k: Count | None = None
    control_points: tuple[tuple[Share, ...], ...] | None = None
    use_sigmoid: bool | None = None
    use_mask: bool | None = None
    activate: bool | None = None
    activated: bool | None = None
    naive_dice: bool | None = None
    avg_non_ignore: bool | None = None
    ignore_index: int | Literal["none"] | None = None
    reduction: Literal["none", "mean", "sum"] | None = None


class Head(Component):
    """A head: its losses, the images that it ranks together, anchors, coder and layers."""

    pool_images: Count | None = None
    head_weight: Rate | None = None
    tau: Share | None = None
    loss_cls: Loss | None = None
    loss_bbox: Loss | None = None
    loss_mask: Loss | None = None
    loss_centerness: Loss | None = None
    loss_candidate: Loss | None = None
    self_balance: dict[str, Number] | None = None
    anchor_generator: Component | None = None
    bbox_coder: Component | None = None


class RoIHead(Component):
    """The second stage: box head, or one for each stage of a cascade, and mask head."""

    bbox_head: Head | tuple[Head, ...]
    mask_head: Head | None = None
    mask_positives: Count | None = None
    stage_loss_weights: tuple[Number, ...] | None = None


class Backbone(Component):
    """The backbone and the weights that it starts from."""

    depth: Count | None = None
    frozen_stages: Annotated[int, Field(ge=-1)] | None = None
    norm_eval: bool | None = None
    pretrained: Text | None = None
    pretrained_url: Text | None = None


class Model(Settings):
    """The detector."""

    detector: Text
    backbone: Backbone
    neck: Component | None = None
    rpn_head: Head | None = None
    query_head: Component | None = None
    bbox_head: Head | None = None
    roi_head: RoIHead | None = None
    mask_head: Head | None = None
    num_stages: Count | None = None


class Part(Settings):
    """Which anchors, places or proposals train a part of the detector."""

    model_config = ConfigDict(frozen=True, extra="allow")

    assigner: Component | None = None
    sampler: Component | None = None


class Assignment(Settings):
    """What trains: of the RPN, of the second stage or of its stages, or of a one-stage head."""

    rpn: Part | None = None
    query: Part | None = None
    rpn_proposal: Part | None = None
    rcnn: Part | tuple[Part, ...] | None = None
    dense: Part | None = None


class Selection(Settings):
    """From the outputs of a head to detections."""

    model_config = ConfigDict(frozen=True, extra="allow")

    score_thr: Share | None = None
    nms: Component | None = None
    nms_pre: Count | None = None
    max_per_img: Count | None = None
    mask_thr_binary: Share | None = None


class Testing(Settings):
    """The test settings: of the RPN, of the second stage, or of a one-stage head."""

    rpn: Selection | None = None
    query: Selection | None = None
    rcnn: Selection | None = None
    dense: Selection | None = None


GROUPS = ("data", "images", "batch", "schedule", "model", "assignment", "test")
# Where settings were read: of a group, of the losses of its heads, of the number of GPUs.
Source = Literal[
    "data", "images", "batch", "schedule", "model", "assignment", "test", "losses", "gpus"
]


class OfficialSettings(Settings):
    """How one official run was set.

    Attributes:
        repository, config, commit: the file of the official code; ``config`` is empty if none is
            public.
        sources: where each group of settings was read.
        formula: how a head computes and adds its losses, where no setting says it.
        notes: contradictions between text, config and code, and what must be reproduced.
    """

    repository: str = ""
    config: str = ""
    commit: str = ""
    sources: dict[Source, Text] = {}
    formula: str = ""
    notes: str = ""
    data: Data | None = None
    images: Images | None = None
    batch: Batch | None = None
    schedule: Schedule | None = None
    model: Model | None = None
    assignment: Assignment | None = None
    test: Testing | None = None

    @model_validator(mode="after")
    def _every_group_has_a_source(self) -> OfficialSettings:
        given = [name for name in GROUPS if getattr(self, name) is not None]
        missing = [name for name in given if name not in self.sources]
        if missing:
            raise ValueError(f"a source of {', '.join(missing)}")
        return self

    @property
    def epochs(self) -> int | None:
        """Epochs of the training."""
        return self.schedule.epochs if self.schedule else None

    @property
    def pool_images(self) -> int | None:
        """Images that the official loss ranks together: those of one GPU."""
        return self.batch.samples_per_gpu if self.batch else None

    @property
    def total_batch(self) -> int | None:
        """Images of an optimizer step; None if no source states it."""
        total = self.batch.total if self.batch else None
        return total if isinstance(total, int) else None

    @property
    def backbone(self) -> Backbone | None:
        """The backbone and the weights that it starts from."""
        return self.model.backbone if self.model else None

    @property
    def test_size(self) -> tuple[int, int] | None:
        """The longest and the shortest side of a test image, in pixels."""
        for step in self.images.test if self.images else ():
            match step.scale:
                case (int(longest), int(shortest)):
                    return longest, shortest
            if step.short_side and step.longest:
                return int(step.short_side * step.longest), step.short_side
        return None

    @cached_property
    def groups(self) -> dict[str, Any]:
        """The settings as plain nested dictionaries and lists, without what is not there."""
        return {
            name: getattr(self, name).model_dump(mode="json", exclude_none=True)
            for name in GROUPS
            if getattr(self, name) is not None
        }

    @cached_property
    def leaves(self) -> dict[str, Any]:
        """The settings by their paths, such as ``schedule.optimizer.lr``."""
        return dict(leaves(self.groups))


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield path and value of all settings below; a list of plain values is one of them."""
    if isinstance(value, dict):
        children = [(str(key), each) for key, each in value.items()]
    elif isinstance(value, list | tuple) and any(isinstance(each, dict) for each in value):
        children = [(str(index), each) for index, each in enumerate(value)]
    else:
        yield path, value
        return
    for name, each in children:
        yield from leaves(each, f"{path}.{name}" if path else name)
