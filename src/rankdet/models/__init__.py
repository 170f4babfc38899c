"""mmdet plug-ins; importing this registers them (configs do, through `custom_imports`)."""

from __future__ import annotations

import importlib
import pkgutil

from rankdet import ops

ops.install()  # mmdet's modules import mmcv's operators

# Every module is imported, so that a new head is one new file and a line in no list.
for _module in pkgutil.walk_packages(__path__, f"{__name__}."):
    importlib.import_module(_module.name)
