"""Notice a training that learns nothing because its images hold nothing to learn from."""

from __future__ import annotations

import sys
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from rankdet.errors import InputError
from rankdet.training.processes import is_first

STEPS = 50  # in a row without an object before it is said


@HOOKS.register_module()
class WatchPositives(Hook):
    """Warn, or stop, when many steps in a row had no object to learn from.

    A step counts when its images hold no object after the loader's filters and augmentations, or
    when its loss is exactly zero: ranking losses are where nothing is positive.

    Args:
        steps: in a row; a shorter training is judged at its end.
        stop: raise an error in place of the warning.
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
            InputError: after `steps` of them, if the training is to stop.
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
            "their annotations are left out by the loader: look at what `rankdet prepare` says of "
            "areas, crowds and boxes outside of their image"
            if not objects
            else "objects are there, but no anchor or point is positive: look at the sizes of "
            "boxes and images"
        )
        what = f"{self._without} steps in a row without a positive"
        if self.stop:
            raise InputError("objects to learn from", what, cause)
        print(f"rankdet: warning: {what}; {cause}", file=sys.stderr, flush=True)


def _objects(data_batch: Any) -> int:
    """Return the annotated objects of a batch."""
    samples = (data_batch or {}).get("data_samples", ())
    return sum(len(sample.gt_instances) for sample in samples)
