"""The packages of the evaluator, imported first: one that is missing names the extra."""

from __future__ import annotations


def _missing(error: ModuleNotFoundError, expected: str, extra: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(
        f'expected {expected}; got: {error}; pip install "rankdet[{extra}]"', name=error.name
    )


def require_scikit_learn() -> None:
    """Import scikit-learn; ModuleNotFoundError names the extra if it is missing."""
    try:
        import sklearn  # noqa: F401
    except ModuleNotFoundError as error:
        raise _missing(error, "scikit-learn to fit a calibration", "calibration") from None


try:
    import msgspec  # noqa: F401
    import pycocotools.mask  # noqa: F401
except ModuleNotFoundError as error:
    raise _missing(error, "msgspec and pycocotools for rankdet.evaluation", "evaluation") from None
