"""The former name of `rankdet.datasets`, for scripts of users: the same modules, not copies."""

import sys

from rankdet import hashing
from rankdet.datasets import coco, digits, manifest

_SAME = {"coco": coco, "digits": digits, "manifest": manifest, "sums": hashing}
for _name, _module in _SAME.items():
    sys.modules[f"{__name__}.{_name}"] = _module
sums = hashing
