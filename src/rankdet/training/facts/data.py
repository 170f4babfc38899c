"""Data: scales, augmentation, normalisation, images per step."""

from __future__ import annotations

from collections.abc import Iterator

from mmengine.config import Config, ConfigDict

from rankdet.training.facts.nodes import call, plain
from rankdet.training.shrink import nodes

LOADING = (*("LoadImageFromFile", "LoadAnnotations", "LoadLastPixelAnnotations", "PackDetInputs"),)
SQUARES = ("Resize", "RandomInterpolationResize")
RESIZING = (*SQUARES, "RandomChoiceResize", "RandomResize", "ResizeByFactor")
# Said elsewhere: the fill of Expand is the mean, its order that of the image. _scope_ says nothing.
UNSAID = ("type", "mean", "to_rgb", "_scope_")
# Transform here -> the same transform of mmdet 1 and 2.
OFFICIAL = {"SsdPhotometricDistortion": "PhotoMetricDistortion"}
DATASETS = {
    "CocoDataset": "coco",
    "PixelCocoDataset": "coco",
    "LvisDataset": "lvis",
    "LVISV1Dataset": "lvis",
    "CityscapesDataset": "cityscapes",
}


def dataset(config: Config) -> str:
    """Return coco, lvis or cityscapes."""
    kinds = {node.type for node in nodes(config.train_dataloader.dataset) if "ann_file" in node}
    return "/".join(sorted(DATASETS.get(kind, kind) for kind in kinds))


def pipeline(loader: ConfigDict) -> list[ConfigDict]:
    """Return the transforms of a loader's innermost data set."""
    return next(node.pipeline for node in nodes(loader.dataset) if "ann_file" in node)


def train_scale(config: Config) -> str:
    """Return the size of training images, or the sizes that are drawn from."""
    return _scale(pipeline(config.train_dataloader))


def test_scale(config: Config) -> str:
    """Return the size of test images."""
    return _scale(pipeline(config.test_dataloader))


def _scale(transforms: list[ConfigDict]) -> str:
    step = next(step for step in transforms if step.type in RESIZING)
    if step.type == "ResizeByFactor":
        longest = int(step.short_side * step.longest)
        return f"short {step.short_side}, long <= {longest} (factor {step.longest})"
    if step.type in SQUARES:
        return f"{step.scale[0]}x{step.scale[1]} keep_ratio={step.keep_ratio}"
    sizes = step.scales if step.type == "RandomChoiceResize" else step.scale
    keep_ratio = step.get("keep_ratio", step.get("resize_cfg", {}).get("keep_ratio", True))
    shorts = "/".join(str(min(size)) for size in sizes)
    kind = "value" if step.type == "RandomChoiceResize" else "range"
    longest = max(max(size) for size in sizes)
    return f"multi-scale({kind}): short {shorts}, long<={longest}, keep_ratio={keep_ratio}"


def augmentations(config: Config) -> str:
    """Return what happens to training images besides the resizing."""
    steps = pipeline(config.train_dataloader)
    said = [
        call(
            OFFICIAL.get(step.type, step.type),
            {key: value for key, value in step.items() if key not in UNSAID},
        )
        for step in steps
        if step.type not in (*LOADING, *RESIZING)
    ]
    said += _padding(config, steps)
    wrapper = config.train_dataloader.dataset
    if wrapper.type == "ClassBalancedDataset":
        said.append(
            "dataset wrapper " + call(wrapper.type, {"oversample_thr": wrapper.oversample_thr})
        )
    return "; ".join(said)


def _padding(config: Config, steps: list[ConfigDict]) -> Iterator[str]:
    """Padding by the preprocessor; none where all training images have a size that fits."""
    divisor = config.model.data_preprocessor.get("pad_size_divisor", 1)
    resize = next(step for step in steps if step.type in RESIZING)
    fits = resize.get("keep_ratio") is False and not any(side % divisor for side in resize.scale)
    if divisor > 1 and not fits:
        yield call("Pad", {"size_divisor": divisor})


def img_mean(config: Config) -> str:
    """Return the mean that is subtracted, in the order of the network's channels."""
    return str(plain(config.model.data_preprocessor.mean))


def img_std(config: Config) -> str:
    """Return the divisor."""
    return str(plain(config.model.data_preprocessor.std))


def to_rgb(config: Config) -> str:
    """Return whether the network sees RGB (images are read as BGR)."""
    return str(bool(config.model.data_preprocessor.get("bgr_to_rgb", False)))


def samples_per_gpu(config: Config) -> str:
    """Return the images of one process and step."""
    return str(config.train_dataloader.batch_size)


def workers_per_gpu(config: Config) -> str:
    """Return the loading processes of one process."""
    return str(config.train_dataloader.num_workers)


def total_batch(config: Config) -> str:
    """Return the images of one step of all processes, for which the learning rate is meant."""
    return str(config.auto_scale_lr.base_batch_size)
