"""Apply a preset to an entry's config."""

from __future__ import annotations

import copy
from typing import Any

from mmengine.config import Config

from rankdet.catalogue.presets import Preset, get_preset
from rankdet.training import shrink

__all__ = ["Preset", "apply_preset", "get_preset"]  # the first and last for scripts of users

CANDIDATES = 1000  # masks per image that SOLOv2 computes with lowered thresholds


def apply_preset(config: Config, preset: Preset) -> None:
    """Apply ``preset`` to ``config`` in place; the data are connected separately."""
    if preset.shrink is not None:
        _shrink_pipelines(config, preset.shrink)
    if preset.side is not None:
        _resize_pipelines(config, preset.side)
        shrink.fit_grids(config.model, preset.side)
    _set_loaders(config, preset)
    if preset.epochs is not None:
        config.train_cfg.max_epochs = preset.epochs
    if preset.iterations is not None:
        _set_schedule(config, preset)
    if preset.score_threshold is not None:
        _lower_thresholds(config, preset.score_threshold)
    if preset.candidates is not None:
        _fewer_candidates(config, preset.candidates)
    if not preset.start_weights:
        config.load_from = None
        shrink.drop_pretrained(config.model)
    if preset.small_network:
        shrink.small_network(config.model)


def _set_loaders(config: Config, preset: Preset) -> None:
    if preset.batch_size is not None:
        config.train_dataloader.batch_size = preset.batch_size
        # A pool is the set of images that one official GPU ranks together; here it is the batch.
        for node in shrink.nodes(config.model):
            if "pool_images" in node:
                node.pool_images = preset.pool_images or preset.batch_size
    if preset.workers is not None:
        for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
            loader.num_workers = preset.workers
    if preset.test_batch_size is not None:
        for loader in (config.val_dataloader, config.test_dataloader):
            loader.batch_size = preset.test_batch_size


def _lower_thresholds(config: Config, threshold: float) -> None:
    for node in shrink.nodes(config.model.get("test_cfg", {})):
        if "score_thr" in node:
            node.score_thr = threshold
        if "filter_thr" in node:  # SOLOv2's, applied after its NMS has lowered the scores
            # It computes a mask for every cell and class above the threshold: now nearly all.
            node.update(filter_thr=threshold, max_candidates=CANDIDATES)


def _fewer_candidates(config: Config, count: int) -> None:
    """Limit what goes into NMS of boxes per level; RPNs and matrix NMS keep their own number."""
    for node in shrink.nodes(config.model.get("test_cfg", {})):
        if "score_thr" in node and node.get("nms_pre", 0) > count and "filter_thr" not in node:
            node.nms_pre = count


def _set_schedule(config: Config, preset: Preset) -> None:
    total = preset.iterations or 0
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
        # From scratch, ranking losses start with large updates, which can make AdamW diverge.
        clip_grad=dict(max_norm=10.0, norm_type=2),
    )


def _shrink_pipelines(config: Config, factor: int) -> None:
    """Divide every size in pixels of the resizing steps by ``factor``."""

    def smaller(value: Any) -> Any:
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
    """Replace the pipelines by load, resize to a square, pack; without augmentation."""
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
