"""Several processes that train together: the group, who writes, and how the batch is divided.

A batch is what one step of the optimiser sees, whatever the number of processes. Each process ranks
its own images pool by pool and their gradients are averaged: the same loss as in one
process, as long as no pool is cut.
"""

from __future__ import annotations

import os
from typing import Any

import torch
import torch.distributed as dist
from mmengine.config import Config

from rankdet.cluster.launch import is_launched
from rankdet.errors import InputError
from rankdet.training.shrink import nodes


def join_group() -> None:
    """Join the processes that one launcher started; nothing to do in a process of its own."""
    if not is_launched() or dist.is_initialized():
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group(backend())


def backend() -> str:
    """Return what the processes talk over."""
    return "nccl" if torch.cuda.is_available() else "gloo"


def leave_group() -> None:
    """Leave the group at the end."""
    if dist.is_initialized():
        dist.destroy_process_group()


def world_size() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return which of the processes this one is."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Return whether this process writes the files."""
    return not dist.is_initialized() or dist.get_rank() == 0


def wait() -> None:
    """Wait until all processes are here."""
    if dist.is_initialized():
        dist.barrier()


def from_first(value: Any) -> Any:
    """Return the first process's ``value``, in all of them."""
    if not dist.is_initialized():
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def set_batch_size(config: Config, images: int) -> None:
    """Give a process ``images`` a step; groups of one orientation stay those of an official GPU."""
    loader = config.train_dataloader
    if _is_grouped(config) and images % loader.batch_size == 0:
        loader.batch_sampler.setdefault("group_images", loader.batch_size)
    loader.batch_size = images


def official_passes(config: Config, images: int) -> int:
    """Return the passes in which a process goes through ``images`` as the official GPUs did.

    Each of these padded its own images to a common size, and normalized by their number. One pass
    pads high and wide images to the same square, and so puts empty proposals among those of an RPN.
    """
    own = config.train_dataloader.batch_size
    return images // own if _is_grouped(config) and images % own == 0 else 1


def passes_of(config: Config, total: int, world: int, passes: int) -> int:
    """Return the passes of one process and step; 0 takes those of `official_passes`.

    Args:
        config: before the batch is divided.
        total: images of one step of the optimizer.
        world: processes.
        passes: asked for, or 0.
    """
    if passes:
        return passes
    return official_passes(config, total // world) if total % world == 0 else 1


def _is_grouped(config: Config) -> bool:
    grouping = config.train_dataloader.get("batch_sampler")
    return bool(grouping) and grouping.type == "GroupBatchSampler"


def share_batch(config: Config, total: int, world: int, passes: int = 1) -> int:
    """Give each of ``world`` processes its part of ``total`` images a step, taken in ``passes``.

    Args:
        config: changed in place.
        total: images of one step of the optimizer.
        world: processes.
        passes: of one process and step; 0 takes those of `official_passes`.

    Returns:
        The passes.

    Raises:
        InputError: if the images, or the pools that they are ranked in, cannot be divided.
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
            f"{' or '.join(good) or '1'} {what} for {total} images a step{ranked}",
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
    """Let ``world`` processes exchange gradients, and the losses that balance an aLRP loss."""
    if world == 1:
        return
    for node in nodes(config.model):
        if "self_balance" in node:
            node.self_balance.reduce = True
    # Without the device ids that mmengine gives it, which exist on GPUs only.
    devices = [int(os.environ["LOCAL_RANK"])] if torch.cuda.is_available() else None
    # A batch without any object leaves the mask heads of that process without a gradient.
    config.model_wrapper_cfg = dict(
        type="MMDistributedDataParallel",
        device_ids=devices,
        broadcast_buffers=False,
        find_unused_parameters=True,
    )
