"""Weighted sums of feature vectors in a fixed order.

RoIAlign and deformable convolution read features between pixels, so each result is a weighted sum
of a few pixels' vectors, a product with a sparse matrix. torch's embedding_bag computes such sums,
each in the order of its entries, without atomics on any device, and fast on a CPU. The backward
pass is the product with the transposed matrix: entries sorted by pixel (a stable sort), then the
same sums. So results and gradients are bit-equal from run to run.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def to_rows(features: Tensor) -> Tensor:
    """Return the vectors [B H W, C] of features [B, C, H, W]; half precision becomes float32."""
    features = features.detach().contiguous(memory_format=torch.channels_last)
    return in_single(features).permute(0, 2, 3, 1).reshape(-1, features.shape[1])


def add_rows(target: Tensor, rows: Tensor) -> None:
    """Add vectors [B H W, C] to ``target`` [B, C, H, W] in place."""
    batch, channels, height, width = target.shape
    for image, vectors in zip(target, rows.view(batch, height * width, channels), strict=True):
        # Transposed before it is added: four times as fast as adding with exchanged strides.
        image.add_(vectors.t().contiguous().view(channels, height, width))


def in_single(values: Tensor) -> Tensor:
    """Return ``values`` in float32, or in float64 if they are."""
    return values if values.dtype == torch.float64 else values.float()


def weighted_sums(rows: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """Return [n, C]: sum_k weights[n, k] rows[indices[n, k]] for indices and weights [n, k]."""
    return F.embedding_bag(indices, rows, mode="sum", per_sample_weights=weights)


def transposed_sums(
    rows: Tensor, sources: Tensor, weights: Tensor, targets: Tensor, count: int
) -> Tensor:
    """Return [count, C]: for each target the sum of weights[e] rows[sources[e]] over its entries.

    Args:
        rows: [n, C].
        sources: [E] int64, indices of ``rows``.
        weights: [E].
        targets: [E] int64 below ``count``.
        count: number of targets.
    """
    if count < 1 << 31:
        targets = targets.int()  # sorts faster
    targets, order = targets.sort(stable=True)
    every = torch.arange(count, dtype=targets.dtype, device=targets.device)
    starts = torch.searchsorted(targets, every)
    return F.embedding_bag(
        sources[order], rows, starts, mode="sum", per_sample_weights=weights[order]
    )
