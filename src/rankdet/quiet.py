"""Known warnings of dependencies about their own code, which users cannot fix."""

from __future__ import annotations

import warnings

KNOWN = (
    r"pkg_resources is deprecated",
    r".*`num_anchors` is deprecated",
    r"torch\.meshgrid: in an upcoming release",
    r"`torch\.jit\.\w+` is deprecated",
    r".*MultiScaleDeformableAttention.*has been moved",
    r"__array__ implementation doesn't accept a copy keyword",
)


def quiet_dependencies() -> None:
    """Silence the warnings in `KNOWN` only; call this before mmengine is imported."""
    for message in KNOWN:
        warnings.filterwarnings("ignore", message=message)
