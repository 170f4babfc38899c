"""The sizes of an entry: a preset transforms the entry's one config (DESIGN 3.4).

`paper` and `published` change nothing but where the data lie, `rehearsal` nothing but sizes in
pixels and the number of epochs. The others change what their table below says; the loss, its
hyper-parameters, assigner, coder and head stay the entry's own.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

from mmengine.config import Config

from rankdet.errors import InputError, nearest
from rankdet.training import shrink

CANDIDATES = 1000  # masks that SOLOv2 draws of an image where its thresholds are lowered


@dataclass(frozen=True)
class Preset:
    """What a preset changes.

    Attributes:
        name: paper, published, rehearsal, mini, overfit, demo or smoke.
        purpose: one line for tables and reports.
        dataset: the data set it is meant for: "coco" (any COCO folder), "digits" or "drawn".
        iterations: optimiser steps; None keeps the entry's epochs.
        batch_size: images per step; None keeps the entry's.
        pool_images: images that a ranking loss ranks together; None takes the batch.
        side: training and test images are resized to this square, in pixels; None keeps the
            entry's pipelines.
        small_network: replace backbone and widths by small ones.
        learning_rate: AdamW with warm-up and cosine decay in place of the entry's schedule.
        score_threshold: lowest score of a detection; None keeps the entry's. Ranking losses order
            scores, they do not calibrate them: after a short training from scratch most correct
            detections still score below the published thresholds (0.05, 0.40), which are part of
            preset paper.
        workers: data-loading processes; None keeps the entry's.
        validations: how often a short training is measured, for its curves.
        comparable: whether its figures may stand beside the published ones.
        trains: False where published weights stand in for a training.
        start_weights: "official" starts from the fetched weights of the official run, "drawn" from
            random ones in a file of the same layout, "" from scratch with nothing frozen.
        shrink: sizes of the entry's own resizing steps are divided by this; None keeps them.
        epochs: in place of the entry's; its schedule stays and is cut off.
    """

    name: str
    purpose: str
    dataset: str
    iterations: int | None = None
    batch_size: int | None = None
    side: int | None = None
    small_network: bool = False
    learning_rate: float | None = None
    score_threshold: float | None = None
    workers: int | None = None
    validations: int = 0
    comparable: bool = False
    pool_images: int | None = None
    trains: bool = True
    start_weights: str = ""
    shrink: int | None = None
    epochs: int | None = None


_MINI = Preset(
    "mini",
    "real images, the entry's own network, short schedule, small images",
    "coco",
    iterations=60,
    batch_size=4,
    side=320,
    workers=1,
    validations=1,
    learning_rate=2e-4,
    score_threshold=1e-3,
)
PRESETS = {
    preset.name: preset
    for preset in (
        Preset("paper", "the official run", "coco", comparable=True, start_weights="official"),
        Preset(
            "published",
            "the official trained model",
            "coco",
            comparable=True,
            trains=False,
            start_weights="official",
        ),
        Preset(
            "rehearsal",
            "the official run cut off after two epochs of small drawn images: does it run?",
            "drawn",
            start_weights="drawn",
            shrink=16,
            epochs=2,
        ),
        _MINI,
        replace(_MINI, name="overfit", purpose="mini, measured on the images it is trained on"),
        Preset(
            "demo",
            "built-in digits set, small network, minutes on a CPU",
            "digits",
            iterations=500,
            batch_size=16,
            side=128,
            workers=0,
            validations=4,
            small_network=True,
            learning_rate=3e-3,
            score_threshold=1e-3,
        ),
        Preset(
            "smoke",
            "the entry's own network at full width, two steps on tiny images",
            "digits",
            iterations=2,
            batch_size=2,
            pool_images=1,  # several pools a batch, so that it can be shared out among processes
            side=64,
            workers=0,
            learning_rate=1e-4,
            score_threshold=1e-3,
        ),
    )
}


def get_preset(name: str, iterations: int | None = None) -> Preset:
    """Return a preset; an unknown name is answered with the known ones.

    Args:
        name: of the preset.
        iterations: other than its own; only where it has its own.

    Raises:
        InputError: if there is no such preset, or it has no number of iterations to change.
    """
    if name not in PRESETS:
        raise InputError(f"one of {', '.join(PRESETS)}", f"preset {name!r}", nearest(name, PRESETS))
    preset = PRESETS[name]
    if iterations is None:
        return preset
    if preset.iterations is None:
        raise InputError(
            "a preset that counts iterations",
            f"{iterations} iterations for preset {name}, which keeps the entry's epochs",
            "leave the number out, or choose a short preset",
        )
    return replace(preset, iterations=iterations)


def apply_preset(config: Config, preset: Preset) -> None:
    """Change ``config`` in place as ``preset`` says; the data are connected separately."""
    if preset.shrink is not None:
        _shrink_pipelines(config, preset.shrink)
    if preset.epochs is not None:
        config.train_cfg.max_epochs = preset.epochs
    if preset.side is not None:
        _resize_pipelines(config, preset.side)
        shrink.fit_grids(config.model, preset.side)
    if preset.batch_size is not None:
        config.train_dataloader.batch_size = preset.batch_size
        # A pool is what one GPU of the official run ranks together; here that is the batch.
        for node in shrink.nodes(config.model):
            if "pool_images" in node:
                node.pool_images = preset.pool_images or preset.batch_size
    if preset.workers is not None:
        for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
            loader.num_workers = preset.workers
    if preset.iterations is not None:
        _set_schedule(config, preset)
    if preset.score_threshold is not None:
        _lower_thresholds(config, preset.score_threshold)
    if not preset.start_weights:
        config.load_from = None
        shrink.drop_pretrained(config.model)
    if preset.small_network:
        shrink.small_network(config.model)


def _lower_thresholds(config: Config, threshold: float) -> None:
    for node in shrink.nodes(config.model.get("test_cfg", {})):
        if "score_thr" in node:
            node.score_thr = threshold
        if "filter_thr" in node:  # SOLOv2's, after its NMS has lowered the scores
            # It draws a mask for every cell and class above the threshold: nearly all of them now.
            node.update(filter_thr=threshold, max_candidates=CANDIDATES)


def _set_schedule(config: Config, preset: Preset) -> None:
    total = preset.iterations
    warm_up = min(max(total // 10, 1), 100)
    config.train_cfg = dict(type="IterBasedTrainLoop", max_iters=total, val_interval=total + 1)
    config.train_dataloader.sampler = dict(type="InfiniteSampler", shuffle=True)
    config.train_dataloader.pop("batch_sampler", None)
    rise = dict(type="LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=warm_up)
    fall = dict(type="CosineAnnealingLR", by_epoch=False, begin=warm_up, end=total)
    fall.update(T_max=total - warm_up, eta_min_ratio=0.01)
    config.param_scheduler = [rise, fall] if total > warm_up else [rise]
    config.optim_wrapper = dict(
        type="OptimWrapper",
        optimizer=dict(type="AdamW", lr=preset.learning_rate, weight_decay=0.01),
        # Ranking losses start with large updates from scratch; without it AdamW can jump.
        clip_grad=dict(max_norm=10.0, norm_type=2),
    )


def _shrink_pipelines(config: Config, factor: int) -> None:
    """Divide every size in pixels of the resizing steps by ``factor``."""

    def smaller(value: object) -> object:
        if isinstance(value, (list, tuple)):
            return type(value)(smaller(each) for each in value)
        return max(1, round(value / factor))

    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        # A loader may share its pipeline with another one.
        loader.dataset = copy.deepcopy(loader.dataset)
        for dataset in (node for node in shrink.nodes(loader.dataset) if "ann_file" in node):
            for step in shrink.nodes(dataset.pipeline):
                if "Resize" in step.type:
                    for key in ("scale", "scales", "short_side"):
                        if key in step:
                            step[key] = smaller(step[key])


def _resize_pipelines(config: Config, side: int) -> None:
    """Replace the pipelines by load, resize to a square, pack; no augmentation is left."""
    masks = any(step.get("with_mask") for step in config.train_pipeline)
    annotations = dict(type="LoadAnnotations", with_bbox=True, with_mask=masks)
    resize = dict(type="Resize", scale=(side, side), keep_ratio=False)
    load = dict(type="LoadImageFromFile")
    config.train_pipeline = [load, annotations, resize, dict(type="PackDetInputs")]
    keys = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")
    config.test_pipeline = [load, resize, dict(type="PackDetInputs", meta_keys=keys)]
    for loader, pipeline in (
        (config.train_dataloader, config.train_pipeline),
        (config.val_dataloader, config.test_pipeline),
        (config.test_dataloader, config.test_pipeline),
    ):
        for node in shrink.nodes(loader.dataset):
            if "ann_file" in node:  # the data set itself, whatever wraps it
                node.pipeline = pipeline
