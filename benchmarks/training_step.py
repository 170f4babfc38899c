"""One training step of a row's small network on fixed images, alone or as one of several ranks."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.model import MMDistributedDataParallel

from benchmarks.drawn_images import sample
from rankdet.catalogue.presets import get_preset
from rankdet.training import shrink
from rankdet.training.resolve import resolve

SIDE = 128
POOL = 4  # images of one official process


def model_of(entry: str, pool_images: int, classes: int | None = None) -> torch.nn.Module:
    """Build the row's small network, norm layers fixed, pools of ``pool_images`` images."""
    config = resolve(entry, get_preset("demo"), None)
    if classes is not None:
        shrink.set_classes(config.model, classes)
    config.model.backbone.norm_eval = True  # batch statistics are not part of the comparison
    for node in shrink.nodes(config.model):
        if "pool_images" in node:
            node.pool_images = pool_images
    torch.manual_seed(0)
    model = MODELS.build(ConfigDict(config.model))
    model.init_weights()
    return model.train()


def batch(images: slice, with_masks: bool) -> tuple[torch.Tensor, list[DetDataSample]]:
    """Images of a fixed set, with objects; every fifth has none."""
    pixels, samples = [], []
    for index in range(images.start, images.stop):
        generator = torch.Generator().manual_seed(index)
        pixels.append(torch.randn(3, SIDE, SIDE, generator=generator))
        count = 0 if index % 5 == 4 else 1 + index % 3
        samples.append(sample((SIDE, SIDE), with_masks, generator, count))
    return torch.stack(pixels), samples


def step(model: torch.nn.Module, images: slice, device: str = "cpu") -> dict[str, torch.Tensor]:
    """Return the loss terms of one step; the gradients are in the model."""
    detector = getattr(model, "module", model)
    pixels, samples = batch(images, detector.with_mask)
    samples = [sample.to(device) for sample in samples]
    total, terms = detector.parse_losses(model(pixels.to(device), samples, mode="loss"))
    total.backward()
    return {name: value.detach().cpu() for name, value in terms.items()}


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the gradients by parameter."""
    detector = getattr(model, "module", model)
    return {n: p.grad.cpu() for n, p in detector.named_parameters() if p.grad is not None}


def rank(index: int, world: int, folder: Path, entries: list[str]) -> None:
    """Be one of ``world`` processes, each with POOL images; rank 0 keeps what DDP averaged."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/g", rank=index, world_size=world)
    for entry in entries:
        model = MMDistributedDataParallel(
            model_of(entry, POOL), broadcast_buffers=False, find_unused_parameters=True
        )
        terms = step(model, slice(POOL * index, POOL * (index + 1)))
        for value in terms.values():
            dist.all_reduce(value)
        if index == 0:
            means = {name: value / world for name, value in terms.items()}
            torch.save((means, gradients(model)), folder / f"{entry}.pt")
    dist.barrier()
    dist.destroy_process_group()
