"""PAA's reassignment is decided by rounding where the better Gaussian owns exactly two candidates.

Both are equally far from its mean, so equally likely, and either one or two become positive. Such
an object may be assigned otherwise than recorded; the losses are then compared for the recorded
assignment. Any other difference stays a miss.
"""

from __future__ import annotations

from unittest import mock

import torch
from torch import Tensor, nn

from rankdet.models.heads import paa
from rankdet.models.heads.paa import Mixtures, fit_mixtures
from tests.golden.heads.cases import Case
from tests.golden.place import tensor_of

TIE = 1e-4  # difference of two log-likelihoods that float32 losses cannot tell apart


def tied_anchors(head: nn.Module, *inputs) -> list[set[int]]:
    """Return the anchors of each image that belong to an object whose two candidates tie.

    Args:
        head: a PAA head.
        inputs: of its ``level_targets``.
    """
    candidates: list[Tensor] = []
    fits: list[Mixtures] = []
    compute = head.get_targets

    def get_targets(*arguments, **settings):
        result = compute(*arguments, **settings)
        candidates.extend(result[4])
        return result

    def fit(*arguments):
        fits.append(fit_mixtures(*arguments))
        return fits[-1]

    with (
        mock.patch.object(head, "get_targets", get_targets),
        mock.patch.object(paa, "fit_mixtures", fit),
    ):
        head.level_targets(*inputs)
    tied = torch.zeros(sum(map(len, candidates)), dtype=torch.bool)
    tied[torch.cat([in_ties(each) for each in fits])] = True
    parts = tied.split([len(each) for each in candidates])
    return [set(each[part].tolist()) for each, part in zip(candidates, parts, strict=True)]


def in_ties(fit: Mixtures) -> Tensor:
    """Return the indices of candidates that share the better Gaussian with one equally likely."""
    owned = fit.is_better & fit.is_candidate
    highest = fit.log_likelihood.masked_fill(~owned, -torch.inf).amax(1)
    lowest = fit.log_likelihood.masked_fill(~owned, torch.inf).amin(1)
    ties = (owned.sum(1) == 2) & (highest - lowest < TIE)
    return fit.index[owned & ties[:, None]]


def settle(head: nn.Module, case: Case, labels: list[Tensor], tied: list[set[int]]) -> int:
    """Let ``head`` take the recorded labels if they differ from ``labels`` on tied anchors only.

    Returns:
        How many anchors were settled; 0 if nothing differs, or something else does.
    """
    names = [f"reassigned_labels_img{image}" for image in range(len(labels[0]))]
    recorded = torch.stack([tensor_of(case.outputs[name]).long() for name in names])
    differ = torch.cat(labels, 1) != recorded
    for image, allowed in zip(differ, tied, strict=True):
        if not set(image.nonzero().flatten().tolist()) <= allowed:
            return 0
    if differ.any():
        forced = list(recorded.split([level.shape[1] for level in labels], 1))
        compute = head.level_targets

        def level_targets(*inputs):
            anchors, _, weights, box_targets = compute(*inputs)
            return anchors, forced, weights, box_targets

        head.level_targets = level_targets
    return int(differ.sum())
