"""The settings of a run here, read from its resolved mmdet config in the words of the official run.

A setting that this module does not know stands under ``unknown`` and so differs from any official
run: nothing of a config is left out silently. What is left out stands in `NOT_COMPARED`, each with
its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rankdet.audit.classes import (
    DATASETS,
    DEFAULTS,
    DETECTORS,
    HOOKS,
    LOSS_STEPS,
    LOSSES,
    OPTIMIZER_WRAPPERS,
    PARTS,
    STEPS,
    SWITCHES,
    official_class,
    official_head,
)
from rankdet.catalogue.official import NONE, leaves

# Paths of a config that do not shape a trained model or its figures. A path covers all below it.
NOT_COMPARED = {
    "custom_imports": "registers the classes of this package; nothing is built without",
    "default_hooks": "set by the trainer: checkpoints, log, timing",
    "default_scope": "the registry in which mmdet looks classes up",
    "env_cfg": "of the machine: processes and libraries",
    "log_level": "set by the trainer",
    "log_processor": "set by the trainer",
    "resume": "set by the trainer",
    "vis_backends": "drawing",
    "visualizer": "drawing",
    "tta_model": "no row is measured with test-time augmentation",
    "tta_pipeline": "no row is measured with test-time augmentation",
    "train_cfg.val_interval": "how often a run is measured on the way",
    "train_cfg.by_epoch": "a loop by epochs counts epochs in any case",
    "val_dataloader.num_workers": "loading processes of the machine",
    "test_dataloader.num_workers": "loading processes of the machine",
    "train_dataloader.persistent_workers": "loading processes of the machine",
    "val_dataloader.persistent_workers": "loading processes of the machine",
    "test_dataloader.persistent_workers": "loading processes of the machine",
    "test_dataloader.dataset.filter_cfg": "a data set in test mode filters nothing",
    "val_dataloader.dataset.filter_cfg": "a data set in test mode filters nothing",
    "test_dataloader.drop_last": "a test takes one image at a time",
    "val_dataloader.drop_last": "a test takes one image at a time",
    "test_dataloader.batch_size": "of the machine: each image is tested by itself",
    "val_dataloader.batch_size": "of the machine: each image is tested by itself",
    "val_evaluator": "the trainer measures with an evaluator of its own",
    "test_evaluator": "the trainer measures with an evaluator of its own",
    "model.train_cfg.debug": "prints",
    "model.train_cfg.rpn.debug": "prints",
    "model.train_cfg.rcnn.debug": "prints",
    "model.mask_head.max_masks_to_train": "not read by RS-YOLACT: all positives count",
    "model.mask_head.loss_mask_weight": "not read by RS-YOLACT: the loss is balanced",
}
# Names of mmdet's and of our base files that only other lines of a config read. The parts of a
# config that the trainer reads are not among them.
VARIABLES = {
    *("dataset_type", "data_root", "backend_args", "train_pipeline", "test_pipeline"),
    *("max_epochs", "img_norm_cfg", "input_size", "img_scales", "giou_loss", "rank_sort_loss"),
    *("pool_images", "rank_sort_rpn", "rank_sort_box", "all_anchors", "all_proposals"),
    *("rank_sort_score_thr", "rank_sort_lr", "carafe_neck", "resnet101", "resnext101_64x4d"),
    *("deformable", "short_480_to_960", "short_800_to_640", "short_640_to_800", "bucketed"),
    *("stage", "stage_cfg", "alrp_loss", "balance", "keep_flat_boxes"),
}
# What every config must have; validation is as the test. Another value stands under ``unknown``.
ALWAYS = {
    "train_cfg.type": "EpochBasedTrainLoop",
    "val_cfg.type": "ValLoop",
    "test_cfg.type": "TestLoop",
    "model.data_preprocessor.type": "DetDataPreprocessor",
    "train_dataloader.sampler.type": "DefaultSampler",
    "train_dataloader.sampler.shuffle": True,
    "test_dataloader.sampler.type": "DefaultSampler",
    "test_dataloader.sampler.shuffle": False,
    "test_dataloader.dataset.test_mode": True,
}
# Transforms that change no image and no box that is trained on.
UNREAD_STEPS = {"train": {"PackDetInputs"}, "test": {"PackDetInputs", "LoadAnnotations"}}
WATCHING = {"CheckInvalidLossHook"}  # hooks that stop a run, and change nothing


def resolved_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a config under preset paper, nested as the official ones.

    Args:
        config: the resolved config as a dictionary; it is not changed.

    Returns:
        Groups data, images, batch, schedule, model, assignment, test, and ``unknown`` for what no
        official run has.
    """
    rest = _Rest(plain({name: part for name, part in config.items() if name not in VARIABLES}))
    for path in NOT_COMPARED:
        rest.take(path)
    rest.expect_same("val_dataloader", "test_dataloader")
    for path, value in ALWAYS.items():
        rest.expect(path, value)
    settings = {
        "batch": _batch(rest),  # before the data: takes what a loader has besides them
        "data": _data(rest),
        "images": _images(rest),
        "schedule": _schedule(rest),
        "assignment": _assignment(rest),
        "test": _test(rest),
        "model": _model(rest),
    }
    settings["unknown"] = rest.unknown()
    return {name: group for name, group in settings.items() if group}


def plain(value: Any) -> Any:
    """Return dictionaries, lists and numbers; None is the word none, and `_scope_` goes."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items() if key != "_scope_"}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return NONE if value is None else value


class _Rest:
    """A config of which settings are taken until only the unknown ones are left."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.wrong: dict[str, Any] = {}

    def take(self, path: str) -> Any:
        """Remove and return what stands at ``path``; None if nothing does."""
        *parents, last = path.split(".")
        node: Any = self.config
        for name in parents:
            node = node.get(name) if isinstance(node, dict) else None
        return node.pop(last, None) if isinstance(node, dict) else None

    def expect(self, path: str, value: Any) -> None:
        """Take a setting that must have one value."""
        found = self.take(path)
        if found != value:
            self.wrong[path] = "missing" if found is None else found

    def expect_same(self, path: str, other: str) -> None:
        """Take a part that must be equal to another one, which stays."""
        found = self.take(path)
        if found != self.config.get(other):
            self.wrong[path] = found

    def unknown(self) -> dict[str, Any]:
        """Return what is left, by path."""
        return self.wrong | dict(leaves(self.config))


def _present(**settings: Any) -> dict[str, Any]:
    """Return what there is."""
    return {name: value for name, value in settings.items() if value is not None}


def _batch(rest: _Rest) -> dict[str, Any]:
    sampler = rest.take("train_dataloader.batch_sampler")
    if isinstance(sampler, dict) and sampler.get("type") == "GroupBatchSampler":
        # Square images have one orientation: nothing is grouped.
        sampler = {"by_orientation": True, **sampler}
        sampler["type"] = "GroupSampler"
    return _present(
        samples_per_gpu=rest.take("train_dataloader.batch_size"),
        total=rest.take("auto_scale_lr.base_batch_size"),
        workers_per_gpu=rest.take("train_dataloader.num_workers"),
        grouping=sampler,
        scaled_lr=rest.take("auto_scale_lr.enable") or None,
    )


def _data(rest: _Rest) -> dict[str, Any]:
    """Files, filters and wrappers; the transforms are taken by `_images`."""
    train = rest.take("train_dataloader.dataset") or {}
    wrappers = {}
    while "dataset" in train:  # RepeatDataset and ClassBalancedDataset
        kind = train.pop("type", "")
        inner = train.pop("dataset")
        wrappers[kind] = train
        train = inner
    test = rest.take("test_dataloader.dataset") or {}
    rest.config["_steps"] = {"train": train.pop("pipeline", []), "test": test.pop("pipeline", [])}
    settings: dict[str, Any] = {"train": _files(train), "test": _files(test)}
    if wrappers:
        settings["train"]["wrapper"] = wrappers
    return settings


def _files(dataset: dict[str, Any]) -> dict[str, Any]:
    root = dataset.pop("data_root", "")
    dataset.pop("backend_args", None)  # where files are stored
    folders, filters = dataset.pop("data_prefix", {}), dataset.pop("filter_cfg", {})
    return {
        "dataset": official_class(dataset.pop("type", ""), DATASETS)["type"],
        "annotations": f"{root}{dataset.pop('ann_file', '')}",
        "images": f"{root}{folders.pop('img', '')}",
        **filters,
        **folders,
        **dataset,
    }


def _images(rest: _Rest) -> dict[str, Any]:
    steps = rest.config.pop("_steps")
    preprocessor = rest.take("model.data_preprocessor") or {}
    return {
        **preprocessor,
        **{
            split: [_step(step) for step in steps[split] if step.get("type") not in unread]
            for split, unread in UNREAD_STEPS.items()
        },
    }


def _step(step: dict[str, Any]) -> dict[str, Any]:
    """Return one transform; sizes with a kept ratio name no order of the sides."""
    step = _without(step, "backend_args")  # where files are stored
    if step.get("resize_type") == "OneFactorResize":
        step = {**_without(step, "resize_type"), "one_factor": True}
    if step.get("keep_ratio") is True:
        for key in ("scale", "scales"):
            if key in step:
                step[key] = _sides(step[key])
    return _named(step, STEPS)


def _sides(sizes: list[Any]) -> list[Any]:
    if sizes and isinstance(sizes[0], list):
        return sorted(sorted(size, reverse=True) for size in sizes)
    return sorted(sizes, reverse=True)


def _named(node: dict[str, Any], classes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a component under its official class and what else that class does."""
    return {**official_class(node.get("type", ""), classes), **_without(node, "type")}


def _without(node: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in node.items() if name not in names}


def _schedule(rest: _Rest) -> dict[str, Any]:
    wrapper = rest.take("optim_wrapper") or {}
    epochs = rest.take("train_cfg.max_epochs")
    schedulers = rest.take("param_scheduler") or []
    found: dict[str, Any] = {"epochs": epochs, "optimizer": wrapper.pop("optimizer", None)}
    found["grad_clip"] = wrapper.pop("clip_grad", NONE)
    found["steps_on"] = official_class(wrapper.pop("type", ""), OPTIMIZER_WRAPPERS)["type"]
    found.update(wrapper)
    for name, scheduler in _named_schedulers(schedulers):
        found[name] = _scheduler(scheduler, epochs)
    found["start_from"] = rest.take("load_from") or NONE
    hooks = rest.take("custom_hooks") or []
    found["hooks"] = [_named(hook, HOOKS) for hook in hooks if hook.get("type") not in WATCHING]
    return {name: value for name, value in found.items() if value not in (None, [], {})}


def _named_schedulers(schedulers: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for index, scheduler in enumerate(schedulers):
        yield ("warmup", "policy")[index] if index < 2 else f"scheduler_{index}", scheduler


def _scheduler(scheduler: dict[str, Any], epochs: Any) -> dict[str, Any]:
    """Return warm-up or policy; iterations count from 0, so LinearLR ends one later."""
    step = dict(scheduler)
    kind = step.pop("type", "")
    begin, end, by_epoch = step.pop("begin", 0), step.pop("end", None), step.pop("by_epoch", True)
    if kind in ("LinearLR", "CountedLinearLR") and not by_epoch and isinstance(end, int):
        name = {"LinearLR": "linear", "CountedLinearLR": "linear, of the steps taken"}[kind]
        found = {"type": name, "iterations": end - begin - 1, "ratio": step.pop("start_factor", 0)}
        return found | ({"begin": begin} if begin else {}) | step
    if kind in ("MultiStepLR", "CosineAnnealingLR") and by_epoch and (begin, end) == (0, epochs):
        name = {"MultiStepLR": "step", "CosineAnnealingLR": "CosineAnnealing"}[kind]
        return {"type": name, **step}
    return dict(scheduler)


def _assignment(rest: _Rest) -> dict[str, Any]:
    """Return which anchors, places and proposals train, part by part."""
    training = rest.take("model.train_cfg") or {}
    parts = {
        name: training.pop(name) for name in ("rpn", "rpn_proposal", "rcnn") if name in training
    }
    if training:
        parts["dense"] = training
    return {name: _map(part, _assigned) for name, part in parts.items()}


def _map(part: Any, function: Any) -> Any:
    """Apply to a part, or to each stage of a cascade."""
    return [function(each) for each in part] if isinstance(part, list) else function(part)


def _assigned(part: dict[str, Any]) -> dict[str, Any]:
    part = _limits(part)
    part.pop("debug", None)
    for name in ("assigner", "sampler"):
        if isinstance(part.get(name), dict):
            part[name] = _filled(_named(part[name], PARTS))
            if "iou_calculator" in part[name]:
                part[name]["iou_calculator"] = _named(part[name]["iou_calculator"], PARTS)
    return part


def _limits(part: dict[str, Any]) -> dict[str, Any]:
    """Say min_bbox_size as mmdet 2 did, where 0 keeps boxes of an area of zero.

    In mmdet 3.3 -1 keeps them and 0 does not.
    """
    part = dict(part)
    if "min_bbox_size" in part:
        size = part["min_bbox_size"]
        part["min_bbox_size"] = {-1: 0, 0: "above 0"}.get(size, size)
    return part


def _test(rest: _Rest) -> dict[str, Any]:
    testing = rest.take("model.test_cfg") or {}
    parts = {name: testing.pop(name) for name in ("rpn", "rcnn") if name in testing}
    if testing:
        parts["dense"] = testing
    return {name: _limits(part) for name, part in parts.items()}


def _filled(node: dict[str, Any]) -> dict[str, Any]:
    """Return a component with the defaults of its class, so that leaving one out is no change."""
    kind = node.get("type", "")
    return {"type": kind, **DEFAULTS.get(kind, {}), **node}


def _model(rest: _Rest) -> dict[str, Any]:
    model = rest.config.pop("model", {})
    found: dict[str, Any] = {"detector": official_class(model.pop("type", ""), DETECTORS)["type"]}
    parts: dict[str, Callable[[Any], Any]] = {"backbone": _backbone, "neck": _neck}
    for name, part in model.items():
        found[name] = parts.get(name, _head)(part)
    return found


def _backbone(net: dict[str, Any]) -> dict[str, Any]:
    net = dict(net)
    start = net.pop("init_cfg", NONE)
    is_file = isinstance(start, dict) and set(start) == {"type", "checkpoint"}
    net["pretrained"] = start["checkpoint"] if is_file and start["type"] == "Pretrained" else start
    return _filled(_named(net, PARTS))


def _neck(neck: dict[str, Any]) -> dict[str, Any]:
    return _named(neck, PARTS)


def _head(node: Any) -> Any:
    """Return a head, with all that stands in it; each stage of a cascade by itself."""
    if isinstance(node, list):
        return [_head(each) for each in node]
    if not isinstance(node, dict):
        return node
    node = dict(node)
    step = node.pop("loss_step", None)  # how a head of this package takes its loss
    taken = step.get("type") if isinstance(step, dict) else None
    if isinstance(step, dict):
        node = {**_without(_filled(step), "type"), **node}
        if taken not in LOSS_STEPS.get(node.get("loss_cls", {}).get("type", ""), ()):
            node["loss_step"] = taken  # no official head has it: a difference
    kind = node.get("type", "")
    if kind in SWITCHES:
        node = _switched(node, SWITCHES[kind])
    found = {"type": official_head(kind, taken)} if kind else {}
    for name, value in _without(node, "type").items():
        if name.startswith("loss_") and isinstance(value, dict):
            value = _named(_filled(value), LOSSES)
        elif name in ("anchor_generator", "bbox_coder") and isinstance(value, dict):
            value = _named(value, PARTS)
        elif name in ("bbox_head", "mask_head", "mask_feature_head"):
            value = _head(value)
        found[name] = value
    return found


def _switched(node: dict[str, Any], switches: Mapping[str, Any]) -> dict[str, Any]:
    """Take the switches that make a head do as the official code; a wrong one stays."""
    for name, value in switches.items():
        if node.get(name, "missing") == value:
            node.pop(name)
        else:
            node.setdefault(name, "missing")
    return node
