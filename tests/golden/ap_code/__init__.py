"""Replay of recorded runs of the AP-Loss code base; importing this registers every kind."""

from __future__ import annotations

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
