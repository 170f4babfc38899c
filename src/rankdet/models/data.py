"""Data sets, transforms and batches as in mmdet 2, where results depend on them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mmcv
import numpy as np
import torch
from mmcv.transforms.utils import cache_randomness
from mmdet.datasets import CocoDataset
from mmdet.datasets.lvis import LVISV1Dataset
from mmdet.datasets.transforms import LoadAnnotations, PhotoMetricDistortion, Resize
from mmdet.registry import DATASETS, TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes, register_box
from mmengine.dataset import DefaultSampler
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import BatchSampler

from rankdet.errors import InputError
from rankdet.models.ap_code.geometry import to_pixels


@DATA_SAMPLERS.register_module()
class GroupBatchSampler(BatchSampler):
    """Shuffled batches of whole groups; the images of a group share an orientation.

    A group is what one GPU of the official run saw in a step, so that a ranking pool has one
    orientation. The images of each orientation are shuffled and filled up with repeated ones until
    they make whole steps; then the groups are shuffled. The order depends on seed and epoch alone,
    and is the same for any number of processes. With seed 0 it is that of mmdet 2's
    DistributedGroupSampler, of version 2.8.

    mmdet 3.3's AspectRatioBatchSampler makes a smaller last batch and one of both orientations in
    each epoch, and counts square images as wide.

    Args:
        sampler: mmengine's; its data set, seed, epoch, rank and world size count, not its order.
        batch_size: images of this process and step.
        group_images: images of one group; None takes ``batch_size``.
        by_orientation: False puts images of any orientation into a group.
    """

    sampler: DefaultSampler

    def __init__(
        self,
        sampler: DefaultSampler,
        batch_size: int,
        group_images: int | None = None,
        by_orientation: bool = True,
    ) -> None:
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = False
        self.group_images = group_images or batch_size
        if batch_size % self.group_images:
            raise InputError(
                f"a batch of whole groups of {self.group_images} images",
                f"{batch_size} images",
                "choose another number of processes",
            )
        dataset = sampler.dataset
        wide = np.array([_is_wide(dataset.get_data_info(row)) for row in range(len(dataset))])
        if not by_orientation:
            wide[:] = False
        parts = (np.flatnonzero(~wide), np.flatnonzero(wide))
        self._parts = [part for part in parts if len(part)]
        step = batch_size * sampler.world_size
        self._filled = [math.ceil(len(part) / step) * step for part in self._parts]
        self._steps = sum(self._filled) // step

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator("cpu")
        generator.manual_seed(self.sampler.seed + self.sampler.epoch)
        rows = []
        for part, count in zip(self._parts, self._filled, strict=True):
            shuffled = part[_order(len(part), generator)]
            rows.append(np.resize(shuffled, count))  # repeats it from its start
        groups = np.concatenate(rows).reshape(-1, self.group_images)
        groups = groups[_order(len(groups), generator)]
        # One official GPU after the other took its groups in a row.
        by_gpu = groups.reshape(-1, self._steps, self.group_images)
        own = self.batch_size // self.group_images
        first = self.sampler.rank * own
        for step in range(self._steps):
            yield by_gpu[first : first + own, step].flatten().tolist()


def _is_wide(info: dict) -> bool:
    return info["width"] > info["height"]


def _order(count: int, generator: torch.Generator) -> np.ndarray:
    # On the CPU, where the generator is, whatever the default device.
    return torch.randperm(count, generator=generator, device="cpu").numpy()


FULL_TURN = 360  # degrees of hue


@DATASETS.register_module()
class LvisDataset(CocoDataset):
    """Reads LVIS v1 and COCO JSON through pycocotools.

    mmdet's LVISV1Dataset needs the `lvis` package, which stops with NumPy 1.24 and later. An LVIS
    file names images by ``coco_url`` only, because its splits mix the folders of COCO 2017:
    ``data_prefix`` is then the folder that holds both. For repeat factors wrap it in mmdet's
    ClassBalancedDataset, which counts the images of each class: of every annotation, those too
    small or outside of the image included, as in mmdet 2. mmdet 3.3 counts what it trains on.
    """

    METAINFO = {"classes": LVISV1Dataset.METAINFO["classes"]}

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Return mmdet's form of one image and its annotations."""
        image = raw_data_info["raw_img_info"]
        if "file_name" not in image:
            image["file_name"] = "/".join(image["coco_url"].split("/")[-2:])
        info = super().parse_data_info(raw_data_info)
        named = {annotation["category_id"] for annotation in raw_data_info["raw_ann_info"]}
        return info | {"category_ids": sorted(named)}

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the ids of all categories that an image is annotated with."""
        return self.get_data_info(idx)["category_ids"]


@register_box("last_pixel")
class LastPixelBoxes(HorizontalBoxes):
    """mmdet's boxes (n, 4), flipped at and clipped to the last pixel of the image.

    The convention of mmdet 1: [x, y, x + w - 1, y + h - 1]. RS-SOLOv2 reads levels and extents of
    its cells from such boxes. The AP-Loss code base has the same convention in code of its own.
    """

    def flip_(self, img_shape: tuple[int, int], direction: str = "horizontal") -> None:
        """Flip in place; ``img_shape`` is height and width."""
        super().flip_((img_shape[0] - 1, img_shape[1] - 1), direction)

    def clip_(self, img_shape: tuple[int, int]) -> None:
        """Clip in place; ``img_shape`` is height and width."""
        super().clip_((img_shape[0] - 1, img_shape[1] - 1))


@TRANSFORMS.register_module()
class LoadLastPixelAnnotations(LoadAnnotations):
    """mmdet's LoadAnnotations, with boxes that name their last pixel."""

    def _load_bboxes(self, results: dict) -> None:
        super()._load_bboxes(results)
        results["gt_bboxes"] = LastPixelBoxes(to_pixels(results["gt_bboxes"].tensor))


@TRANSFORMS.register_module()
class OneFactorResize(Resize):
    """mmdet's Resize with ``keep_ratio``, whose boxes follow the one factor of both axes.

    mmdet 2 and 3 scale boxes to the rounded size of the image, by one factor for each axis.
    """

    def _resize_img(self, results: dict) -> None:
        height, width = results["img"].shape[:2]
        _, factor = mmcv.rescale_size((width, height), results["scale"], return_scale=True)
        super()._resize_img(results)
        results["scale_factor"] = (factor, factor)


@dataclass(frozen=True)
class Distortion:
    """What is drawn for one image; None leaves that property alone.

    Attributes:
        brightness: added to every channel.
        contrast: factor of every channel.
        contrast_first: whether the contrast changes before the colors, or after them.
        saturation: factor of the saturation in HSV.
        hue: degrees that are added to the hue.
        order: the new order of the channels (3).
    """

    brightness: float | None = None
    contrast: float | None = None
    contrast_first: bool = False
    saturation: float | None = None
    hue: float | None = None
    order: np.ndarray | None = None


@TRANSFORMS.register_module()
class SsdPhotometricDistortion(PhotoMetricDistortion):
    """mmdet's distortion of brightness, contrast, saturation, hue and channel order, not clipped.

    mmdet 3.3 clips a raised saturation to [0, 1], which changes an image by up to 77 gray levels;
    SSD and mmdet 1 and 2 do not. Numbers are drawn one after the other as those did, so that the
    same seed of NumPy gives the same image.

    Args:
        swap: whether the channels may be swapped; otherwise as in mmdet.
    """

    def __init__(self, *args, swap: bool = True, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.swap = swap

    @cache_randomness
    def draw(self) -> Distortion:
        """Draw the distortion of one image."""
        random = np.random

        def maybe(low: float, high: float) -> float | None:
            return random.uniform(low, high) if random.randint(2) else None

        found: dict[str, Any] = {"brightness": maybe(-self.brightness_delta, self.brightness_delta)}
        found["contrast_first"] = first = random.randint(2) == 1
        contrast = (self.contrast_lower, self.contrast_upper)
        if first:
            found["contrast"] = maybe(*contrast)
        found["saturation"] = maybe(self.saturation_lower, self.saturation_upper)
        found["hue"] = maybe(-self.hue_delta, self.hue_delta)
        if not first:
            found["contrast"] = maybe(*contrast)
        if self.swap and random.randint(2):
            found["order"] = random.permutation(3)
        return Distortion(**found)

    def transform(self, results: dict) -> dict:
        """Distort a BGR image (h, w, 3)."""
        results["img"] = distort(results["img"].astype(np.float32), self.draw())
        return results


def distort(image: np.ndarray, drawn: Distortion) -> np.ndarray:
    """Return a float32 BGR image (h, w, 3) with its colors changed; values may leave 0..255."""
    if drawn.brightness is not None:
        image = image + np.float32(drawn.brightness)
    if drawn.contrast is not None and drawn.contrast_first:
        image = image * np.float32(drawn.contrast)
    hsv = mmcv.bgr2hsv(image)
    if drawn.saturation is not None:
        hsv[..., 1] *= drawn.saturation
    if drawn.hue is not None:
        hue = hsv[..., 0]
        hue += drawn.hue
        hue[hue > FULL_TURN] -= FULL_TURN
        hue[hue < 0] += FULL_TURN
    image = mmcv.hsv2bgr(hsv)
    if drawn.contrast is not None and not drawn.contrast_first:
        image = image * np.float32(drawn.contrast)
    return image if drawn.order is None else image[..., drawn.order]
