"""Training with several processes: the process group, and how the batch is divided.

A batch is the images of one optimizer step, for any number of processes. Each process ranks its own
images pool by pool and the gradients are averaged: the loss is the same as in one process, as long
as no pool is split.
"""

from __future__ import annotations

import os
from typing import Any

import torch
import torch.distributed as dist
from mmengine.config import Config

from rankdet.cluster.slurm import is_launched
from rankdet.errors import InputError
from rankdet.training.shrink import nodes


def join_group() -> None:
    """Join the group of processes that the launcher started; does nothing in a single process."""
    if not is_launched() or dist.is_initialized():
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group(backend())


def backend() -> str:
    """Return the communication backend."""
    return "nccl" if torch.cuda.is_available() else "gloo"


def leave_group() -> None:
    """Leave the group at the end."""
    if dist.is_initialized():
        dist.destroy_process_group()


def world_size() -> int:
    """Return the number of training processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the rank of this process."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Return whether this process writes the files."""
    return not dist.is_initialized() or dist.get_rank() == 0


def wait() -> None:
    """Wait until all processes have reached this point."""
    if dist.is_initialized():
        dist.barrier()


def from_first(value: Any) -> Any:
    """Return the ``value`` of the first process in all processes."""
    if not dist.is_initialized():
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def set_batch_size(config: Config, images: int) -> None:
    """Set the images of a process per step; aspect-ratio groups stay as on an official GPU."""
    loader = config.train_dataloader
    if _is_grouped(config) and images % loader.batch_size == 0:
        loader.batch_sampler.setdefault("group_images", loader.batch_size)
    loader.batch_size = images


def official_passes(config: Config, images: int) -> int:
    """Return the passes in which a process handles ``images`` like the official GPUs.

    Each official GPU padded its own images to a common size, and normalized by their number. A
    single pass pads tall and wide images to the same square, which adds empty RPN proposals.
    """
    own = config.train_dataloader.batch_size
    return images // own if _is_grouped(config) and images % own == 0 else 1


def passes_of(config: Config, total: int, world: int, passes: int) -> int:
    """Return the passes of one process and step; 0 means those of `official_passes`.

    Args:
        config: before the batch is divided.
        total: images of one optimizer step.
        world: processes.
        passes: requested, or 0.
    """
    if passes:
        return passes
    return official_passes(config, total // world) if total % world == 0 else 1


def _is_grouped(config: Config) -> bool:
    grouping = config.train_dataloader.get("batch_sampler")
    return bool(grouping) and grouping.type == "GroupBatchSampler"


def share_batch(config: Config, total: int, world: int, passes: int = 1) -> int:
    """Divide ``total`` images per step among ``world`` processes and ``passes``.

    Args:
        config: changed in place.
        total: images of one optimizer step.
        world: processes.
        passes: of one process and step; 0 means those of `official_passes`.

    Returns:
        The passes.

    Raises:
        InputError: if the images, or their ranking pools, cannot be divided.
    """
    passes = passes_of(config, total, world, passes)
    pools = sorted({node.pool_images for node in nodes(config.model) if node.get("pool_images")})
    shares = world * passes
    own, rest = divmod(total, shares)
    if rest or any(own % pool for pool in pools if shares > 1):
        good = [
            str(count)
            for count in range(1, total + 1)
            if total % count == 0 and not any((total // count) % pool for pool in pools)
        ]
        ranked = f", ranked {pools[-1]} at a time" if pools else ""
        what = "processes times passes" if passes > 1 else "processes"
        raise InputError(
            f"{' or '.join(good) or '1'} {what} for {total} images per step{ranked}",
            f"{world} times {passes}" if passes > 1 else f"{world} processes",
            "change gpu (or processes, passes) of the row in configs/cluster.yaml, or --processes",
        )
    set_batch_size(config, total // world)
    for node in nodes(config.model):
        if "self_balance" in node:
            node.self_balance.passes = passes
    _exchange(config, world)
    return passes


def _exchange(config: Config, world: int) -> None:
    """Let ``world`` processes exchange gradients, and the losses for aLRP's self-balancing."""
    if world == 1:
        return
    for node in nodes(config.model):
        if "self_balance" in node:
            node.self_balance.reduce = True
    # Not mmengine's default device ids, which exist only on GPUs.
    devices = [int(os.environ["LOCAL_RANK"])] if torch.cuda.is_available() else None
    # In a batch without objects, the mask heads of that process get no gradient.
    config.model_wrapper_cfg = dict(
        type="MMDistributedDataParallel",
        device_ids=devices,
        broadcast_buffers=False,
        find_unused_parameters=True,
    )
