"""The packages that adapters are for: present, and of a version that was tested."""

from __future__ import annotations

import importlib
import re
import warnings
from types import ModuleType

# From the first on, below the second. tests/adapters ran with torchvision 0.19.1 (torch 2.4.1) and
# 0.29.1 (torch 2.14.1), and with transformers 4.57.1, 5.8.0 and 5.24.0.
TESTED = {"torchvision": ("0.19", "0.30"), "transformers": ("4.57", "5.25")}


def version_of(text: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: "0.29.1+cpu" -> (0, 29, 1)."""
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(each) for each in found[0].split(".")) if found else ()


def require(name: str) -> ModuleType:
    """Import a package that an adapter is for; warn if its version was not tested.

    Args:
        name: of the package, which is also that of the extra of rankdet.

    Returns:
        The package.

    Raises:
        ImportError: saying what to install, if the package is missing or cannot be imported.
    """
    try:
        package = importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"expected the package {name} for rankdet.adapters.{name}; got: {error}; "
            f"install it: pip install 'rankdet[{name}]'",
            name=name,
        ) from error
    first, below = TESTED[name]
    version = str(package.__version__)
    if not version_of(first) <= version_of(version) < version_of(below):
        warnings.warn(
            f"rankdet.adapters.{name} was tested with {name} >= {first}, < {below}; this is "
            f"{version}. If training fails, install a tested version.",
            stacklevel=3,
        )
    return package
