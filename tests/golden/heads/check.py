"""Comparisons of one case with what was recorded, within the manifest's tolerances."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from mmengine.structures import InstanceData
from torch import Tensor

from tests.golden.heads.cases import Case
from tests.golden.place import array_of

# A recorded loss below this is rounding noise around an exact zero (losses are of the order of 1).
ZERO = 1e-7


@dataclass
class Check:
    """What was found in one case.

    Attributes:
        problems: one line for everything that does not agree.
        loss: largest relative difference of a loss.
        gradient: largest difference of a gradient over the largest gradient of its group.
        notes: agreements with a reservation, such as a documented deviation.
    """

    case: Case
    built: bool = True
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    loss: float = 0.0
    gradient: float = 0.0

    @property
    def agrees(self) -> bool:
        return self.built and not self.problems

    @property
    def tolerance(self) -> dict:
        return self.case.about["tolerance"]

    def require(self, holds: bool, problem: str) -> None:
        """Note ``problem`` unless ``holds``."""
        if not holds:
            self.problems.append(problem)

    def losses(self, ours: dict[str, Tensor], stored: dict[str, float], where: str = "") -> None:
        """Compare loss terms, relative to the recorded value."""
        self.require(set(ours) == set(stored), f"{where}losses {set(ours)}, not {set(stored)}")
        for name in set(ours) & set(stored):
            value, wanted = float(ours[name].detach().mean()), stored[name]
            error = abs(value - wanted)
            self.loss = max(self.loss, error / max(abs(wanted), ZERO) if error > ZERO else 0.0)
            limit = self.tolerance["loss_rtol"] * abs(wanted)
            if not error <= max(limit, ZERO):
                self.problems.append(f"{where}{name} {value:.8g}, recorded {wanted:.8g}")

    def gradients(self, name: str, ours: list[Tensor | None], stored: list[np.ndarray]) -> None:
        """Compare the gradients of one group of arrays, such as all levels of a prediction."""
        if len(ours) != len(stored):
            self.problems.append(f"{len(ours)} gradients of {name}, {len(stored)} recorded")
            return
        largest = max((float(np.abs(array).max()) for array in stored if array.size), default=0.0)
        for level, (tensor, wanted) in enumerate(zip(ours, stored, strict=True)):
            found = np.zeros_like(wanted) if tensor is None else array_of(tensor)
            if found.shape != wanted.shape or not np.isfinite(found).all():
                self.problems.append(f"gradient of {name}_{level}: shape or finiteness")
                continue
            error = float(np.abs(found - wanted).max()) if wanted.size else 0.0
            if largest:
                self.gradient = max(self.gradient, error / largest)
            limit = self.tolerance["grad_over_max"] * largest + self.tolerance["grad_atol"]
            if not error <= limit:
                text = f"gradient of {name}_{level} off by {error:.3g}, largest {largest:.3g}"
                self.problems.append(text)

    def equal(self, name: str, ours, stored: np.ndarray) -> None:
        """Compare arrays that have to be equal, such as assigned labels."""
        found = array_of(ours) if isinstance(ours, Tensor) else np.asarray(ours)
        if found.shape != stored.shape:
            self.problems.append(f"{name}: shape {found.shape}, recorded {stored.shape}")
        elif not np.array_equal(found, stored):
            self.problems.append(f"{name}: {int((found != stored).sum())} of {stored.size} differ")

    def close(self, name: str, ours, stored: np.ndarray, atol: float, rtol: float = 0.0) -> None:
        """Compare arrays within a tolerance."""
        found = array_of(ours) if isinstance(ours, Tensor) else np.asarray(ours)
        if found.shape != stored.shape:
            self.problems.append(f"{name}: shape {found.shape}, recorded {stored.shape}")
        elif not np.allclose(found, stored, rtol=rtol, atol=atol):
            worst = float(np.abs(found - stored).max())
            self.problems.append(f"{name}: off by {worst:.3g}")

    def zero_with_graph(self, losses: dict[str, Tensor], leaves: list[Tensor]) -> None:
        """Require that all losses are 0 and send a zero gradient to every prediction."""
        for name, value in losses.items():
            self.require(value.dim() == 0 and float(value.detach()) == 0, f"{name} is {value}")
            self.require(value.requires_grad, f"{name} has no graph")
        sum(losses.values()).backward()
        for place, leaf in enumerate(leaves):
            if leaf.grad is None:
                self.problems.append(f"prediction {place} is not in the graph")
            else:
                self.require(not bool(leaf.grad.any()), f"prediction {place} gets a gradient")

    def detections(
        self,
        image: int,
        ours: InstanceData,
        boxes: np.ndarray,
        labels: np.ndarray | None,
        limit: int,
        by_score: bool = True,
    ) -> None:
        """Compare the detections of one image with the recorded (k, 5) boxes and labels.

        The official heads keep boxes that are clipped to an area of zero, mmdet 3.3 drops them;
        they are left out on both sides, and may have taken places among the ``limit``.
        """
        if labels is None:
            labels = np.zeros(len(boxes), dtype=np.int64)
        solid = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        was_full = len(boxes) >= limit and not solid.all()
        boxes, labels = boxes[solid], labels[solid]
        found = array_of(torch.cat([ours.bboxes, ours.scores[:, None]], 1))
        found_labels = array_of(ours.labels).astype(np.int64)
        flat = (found[:, 2] <= found[:, 0]) | (found[:, 3] <= found[:, 1])
        found, found_labels = found[~flat], found_labels[~flat]
        if was_full:
            order = np.argsort(-found[:, 4], kind="stable")[: len(boxes)]
            found, found_labels = found[order], found_labels[order]
        if len(found) != len(boxes):
            self.problems.append(f"image {image}: {len(found)} boxes, recorded {len(boxes)}")
            return
        if by_score:  # detections come by falling score, up to places of equal scores
            order = f"scores of image {image} in order"
            self.close(order, found[:, 4], boxes[:, 4], self.tolerance["scores_atol"])
        lost = self._unmatched(found, found_labels, boxes, labels)
        self.require(not lost, f"image {image}: {lost} of {len(boxes)} detections not found")

    def _unmatched(self, found, found_labels, boxes, labels) -> int:
        """Pair detections within the tolerances; return how many recorded ones stay alone."""
        is_near = (
            (np.abs(found[None, :, :4] - boxes[:, None, :4]).max(2) <= self.tolerance["boxes_atol"])
            & (np.abs(found[None, :, 4] - boxes[:, None, 4]) <= self.tolerance["scores_atol"])
            & (found_labels[None] == labels[:, None])
        )
        free, lost = np.ones(len(found), dtype=bool), 0
        for row in is_near:
            partners = np.flatnonzero(row & free)
            if len(partners):
                free[partners[0]] = False
            else:
                lost += 1
        return lost
