"""PAA's reassignment is decided by rounding where the better Gaussian owns exactly two candidates.

Both are equally far from its mean, so equally likely, and either one or two become positive. Such
an object may be assigned otherwise than recorded; the losses are then compared for the recorded
assignment. Any other difference stays a miss.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.golden.heads.cases import Case

TIE = 1e-4  # difference of two log-likelihoods that float32 losses cannot tell apart


class Ties:
    """Listens to a PAA head: the anchors on which an object's two candidates tie, per image."""

    def __init__(self, head: nn.Module) -> None:
        self.anchors: list[set[int]] = []
        self._head = head
        self._separate = head.gmm_separation_scheme
        self._reassign = head.paa_reassign
        self._targets = head.level_targets
        head.gmm_separation_scheme = self._listen
        head.paa_reassign = self._next_image

    def _next_image(self, *arguments):
        self.anchors.append(set())
        return self._reassign(*arguments)

    def _listen(self, assignment: Tensor, scores: Tensor, candidates: Tensor):
        owned = assignment == 0
        pair = scores[owned]
        if len(pair) == 2 and abs(pair[0] - pair[1]) < TIE:
            self.anchors[-1].update(candidates[owned].tolist())
        return self._separate(assignment, scores, candidates)

    def settle(self, case: Case, labels: list[Tensor]) -> int:
        """Take the recorded labels where they differ from ``labels`` on tied anchors only.

        Returns:
            How many anchors were settled; 0 if nothing differs, or something else does.
        """
        names = [f"reassigned_labels_img{image}" for image in range(len(labels[0]))]
        recorded = [torch.from_numpy(case.outputs[name]).long() for name in names]
        ours = torch.cat(labels, 1)
        differ = ours != torch.stack(recorded)
        for image, tied in zip(differ, self.anchors, strict=True):
            if not set(image.nonzero().flatten().tolist()) <= tied:
                return 0
        if differ.any():
            forced = list(torch.stack(recorded).split([level.shape[1] for level in labels], 1))
            self._head.level_targets = lambda *inputs: _replaced(self._targets(*inputs), forced)
        return int(differ.sum())


def _replaced(targets: tuple, labels: list[Tensor]) -> tuple:
    anchors, _, weights, box_targets = targets
    return anchors, labels, weights, box_targets
