"""The packages of the evaluator, imported first: one that is missing names the extra."""

from __future__ import annotations

try:
    import msgspec  # noqa: F401
    import pycocotools.mask  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"expected msgspec and pycocotools for rankdet.evaluation; got: {error}; "
        'pip install "rankdet[evaluation]"',
        name=error.name,
    ) from None
