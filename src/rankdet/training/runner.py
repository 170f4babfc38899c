"""Build mmengine's Runner for a run on this machine, with the options for faster steps.

Those options apply only to backbone and neck: heads and losses always get contiguous float32
features, so they compute the same numbers from the same features.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import torch
from mmcv.ops import DeformConv2dPack, ModulatedDeformConv2d
from mmcv.ops.carafe import CARAFEPack
from mmengine.config import Config
from mmengine.runner import Runner
from torch import Tensor

from rankdet.cluster.slurm import is_launched
from rankdet.training import loops, record  # noqa: F401 (register hooks and loops)
from rankdet.training.processes import backend
from rankdet.training.start import require_local
from rankdet.training.step import TrainingStep

# Their kernels support float32 (and float16), not bfloat16, and need contiguous memory.
OWN_KERNEL = (ModulatedDeformConv2d, DeformConv2dPack, CARAFEPack)


@dataclass(frozen=True)
class Speed:
    """Speed options of a training; by default all are off.

    Attributes:
        bf16: backbone and neck compute in bfloat16 (autocast), their weights stay float32.
        channels_last: backbone and neck keep their channels innermost.
        compiled: torch.compile on the backbone; the first steps take minutes.
    """

    bf16: bool = False
    channels_last: bool = False
    compiled: bool = False

    @property
    def chosen(self) -> dict[str, bool]:
        """The options that are on, for the run's record."""
        return {name: True for name, on in asdict(self).items() if on}


AS_IS = Speed()


def apply_speed(model: Any, speed: Speed) -> None:
    """Apply the options to a detector in place; its state dict does not change."""
    if not speed.chosen:
        return
    if speed.channels_last:
        for part in (model.backbone, model.neck):
            part.to(memory_format=torch.channels_last)
    if speed.bf16 or speed.channels_last:
        for module in model.modules():
            if isinstance(module, OWN_KERNEL):
                module.to(memory_format=torch.contiguous_format)
                module.forward = _plain(module.forward)
    if speed.compiled:
        model.backbone.compile()  # in place: no other names in the state dict
    # A pair of hooks cannot surround the call with autocast, a wrapper can.
    model.extract_feat = _extract(model.extract_feat, speed)


def _extract(plain: Callable, speed: Speed) -> Callable:
    @functools.wraps(plain)
    def extract_feat(images: Tensor) -> tuple[Tensor, ...]:
        if speed.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=speed.bf16):
            features = plain(images)
        # mmcv's RoIAlign reads memory as if it were contiguous.
        return tuple(level.float().contiguous() for level in features)

    return extract_feat


def _plain(plain: Callable) -> Callable:
    @functools.wraps(plain)
    def forward(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return plain(x.float().contiguous())

    return forward


def use_threads(count: int | None) -> None:
    """Limit the CPU threads of this process; None keeps torch's default."""
    if count is not None:
        torch.set_num_threads(count)
    # Several trainings may share a machine; OpenCV would use all cores for each image.
    cv2.setNumThreads(0)


class TrainingRunner(Runner):
    """mmengine's Runner, with the step that the training loops call."""

    training_step: TrainingStep


def prepare_runner(
    config: Config, work_dir: Path, seed: int, workers: int | None
) -> TrainingRunner:
    """Build mmengine's Runner for ``config``.

    Args:
        config: a resolved config.
        work_dir: for checkpoints and logs.
        seed: of every random number generator.
        workers: data-loading processes; None keeps the config's.

    Raises:
        InputError: if the config names weights that are not local; nothing is downloaded.
    """
    require_local(config)
    config.work_dir = str(work_dir)
    config.default_scope = "mmdet"
    config.randomness = dict(seed=seed)
    config.visualizer = None
    config.log_level = "INFO"
    config.launcher = "pytorch" if is_launched() else "none"
    config.setdefault("env_cfg", dict(cudnn_benchmark=False, dist_cfg=dict(backend=backend())))
    for name in ("train", "val", "test"):
        loader = config[f"{name}_dataloader"]
        if workers is not None:
            loader.num_workers = workers
        loader.persistent_workers = False
    loop = config.train_cfg.get("type")
    by_epoch = loop in ("EpochBasedTrainLoop", "ResumableEpochLoop") or config.train_cfg.get(
        "by_epoch", False
    )
    config.log_processor = dict(type="LogProcessor", window_size=50, by_epoch=by_epoch)
    logging.getLogger("mmengine").setLevel(logging.INFO)
    return TrainingRunner.from_cfg(config)
