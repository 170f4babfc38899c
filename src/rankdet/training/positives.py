"""Detect a training that learns nothing because its images have no usable objects."""

from __future__ import annotations

import sys
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from rankdet.errors import InputError
from rankdet.training.processes import is_first

STEPS = 50  # consecutive steps without an object before the warning


@HOOKS.register_module()
class WatchPositives(Hook):
    """Warn, or stop, after many consecutive steps without a positive.

    A step counts if its images have no object after the loader's filters and augmentations, or if
    its loss is exactly zero, as ranking losses are without positives.

    Args:
        steps: consecutive steps; a shorter training is checked at its end.
        stop: raise an error instead of a warning.
    """

    priority = "LOW"

    def __init__(self, steps: int = STEPS, stop: bool = False) -> None:
        self.steps = steps
        self.stop = stop
        self._without = 0
        self._warned = False

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Count steps without an object.

        Raises:
            InputError: after `steps` of them, if `stop` is set.
        """
        objects = _objects(data_batch)
        loss = (outputs or {}).get("loss")
        if objects and (loss is None or float(loss) != 0):
            self._without = 0
            return
        self._without += 1
        if self._without != min(self.steps, runner.max_iters) or self._warned or not is_first():
            return
        self._warned = True
        cause = (
            "the loader filters out their annotations: check what `rankdet prepare` reports about "
            "areas, crowds and boxes outside their image"
            if not objects
            else "there are objects, but no anchor or point is positive: check the sizes of "
            "boxes and images"
        )
        what = f"{self._without} consecutive steps without a positive"
        if self.stop:
            raise InputError("objects to learn from", what, cause)
        print(f"rankdet: warning: {what}; {cause}", file=sys.stderr, flush=True)


def _objects(data_batch: Any) -> int:
    """Return the annotated objects of a batch."""
    samples = (data_batch or {}).get("data_samples", ())
    return sum(len(sample.gt_instances) for sample in samples)
