"""RoI heads that differ from mmdet's own in the loss step, and in what their paper removes."""
