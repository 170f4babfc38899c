"""Training and prediction: from an entry and a preset to a checkpoint and its detections."""

from rankdet import ops

ops.install()  # before mmcv's operators are imported
