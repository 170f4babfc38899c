"""16 images on one device in 4 pools of 4, against four steps of 4 images each, averaged."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.training_step import POOL, gradients, model_of, step

ENTRIES = ("rs_atss_r50", "alrp_mmdet_alrp_retinanet_r50_500", "rs_mask_r50")
PARTS = 4
TOLERANCE = 1e-3


def pools(device: torch.device, quick: bool) -> Iterator[dict]:
    """Compare loss and gradients; that four steps equal four processes is a test (gloo)."""
    for entry in ENTRIES[:1] if quick else ENTRIES:
        whole = model_of(entry, POOL).to(device)
        loss = step(whole, slice(0, POOL * PARTS), str(device))["loss"]
        part = model_of(entry, POOL).to(device)
        losses = [
            step(part, slice(POOL * index, POOL * (index + 1)), str(device))["loss"]
            for index in range(PARTS)
        ]
        sums = gradients(part)  # backward adds up
        off = max(
            float((found - sums[name] / PARTS).abs().max() / sums[name].abs().max() * PARTS)
            for name, found in gradients(whole).items()
            if sums[name].any()
        )
        mean = sum(losses) / PARTS
        yield {
            **{"row": entry, "images": POOL * PARTS, "pools": PARTS},
            "loss off by": float((loss - mean).abs() / mean),
            "gradient off by, of its largest": off,
            "agree": bool(off < TOLERANCE and abs(loss - mean) < TOLERANCE * mean),
        }
