"""Build mmengine's Runner for a run on this machine."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from rankdet.cluster.launch import is_launched
from rankdet.training import loops, record  # noqa: F401 (register hooks and loops)
from rankdet.training.processes import backend
from rankdet.training.start import require_local
from rankdet.training.step import TrainingStep


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
