"""Targets in pixels and in float64."""

from __future__ import annotations

from mmengine.structures import InstanceData
from torch import Tensor

from rankdet.models.ap_code.pixel_boxes import to_pixels


class PixelTargets:
    """Mixin in front of a ranked dense head: ground truth enters as boxes with last pixels.

    Assignment and encoding run in float64 like the anchors; the loss step is in float32.
    """

    def level_targets(self, cls_scores, bbox_preds, gt_instances, metas, ignored) -> tuple:
        """Return anchors, labels, label weights and box targets, each per level (B, hwA, ...)."""
        truth = [
            InstanceData(bboxes=self.pixels(image.bboxes), labels=image.labels)
            for image in gt_instances
        ]
        found = super().level_targets(cls_scores, bbox_preds, truth, metas, None)
        anchors, labels, weights, box_targets = found
        return _single(anchors), labels, _single(weights), _single(box_targets)

    def pixels(self, boxes: Tensor) -> Tensor:
        """Return boxes (n, 4) of the data as the head computes with them."""
        return to_pixels(boxes.double(), self.bbox_coder.pixel_offset)


def _single(levels: list[Tensor]) -> list[Tensor]:
    return [level.float() for level in levels]
