"""Warn about ignored annotations: some that are not listed, or all of them."""

from __future__ import annotations

import warnings

import numpy as np

from rankdet.evaluation.metrics import AREA_RANGES

# How many annotations do not count, and why.
Reason = tuple[int, str]


def listed(
    image: np.ndarray, category: np.ndarray, image_ids: np.ndarray, category_ids: np.ndarray
) -> tuple[np.ndarray, list[Reason]]:
    """Return the annotations of listed images and categories, and why the others are left out.

    Args:
        image, category: the ids that each annotation names [N].
        image_ids, category_ids: the ids that the file lists.

    Returns:
        The places of the listed ones, ascending, and the reasons; each annotation has one.
    """
    has_image, has_category = np.isin(image, image_ids), np.isin(category, category_ids)
    reasons = [
        _unlisted("categories", category[~has_category]),
        _unlisted("images", image[has_category & ~has_image]),
    ]
    return np.flatnonzero(has_image & has_category), [each for each in reasons if each[0]]


def _unlisted(what: str, ids: np.ndarray) -> Reason:
    unknown = np.unique(ids)
    more = ", ..." if len(unknown) > 3 else ""
    return len(
        ids
    ), f"name {what} that are not listed (ids {', '.join(map(str, unknown[:3]))}{more})"


def ignored(is_ignored: np.ndarray, area: np.ndarray, reason: str) -> list[Reason]:
    """Return why annotations [N] count in no range of areas.

    Args:
        is_ignored, area: of each.
        reason: what the flag means.
    """
    largest = AREA_RANGES["all"][1]
    return [
        (int(is_ignored.sum()), reason),
        (int((~is_ignored & (area > largest)).sum()), f"have an area above {largest:g}"),
    ]


def warn(total: int, unlisted: list[Reason], others: list[Reason]) -> None:
    """Warn if annotations are not listed, or if none of ``total`` counts."""
    if total > sum(count for count, _ in [*unlisted, *others]):
        for count, reason in unlisted:
            warnings.warn(f"{count} of {total} annotations {reason} and are ignored", stacklevel=3)
        return
    why = [f"{count} of {total} {reason}" for count, reason in [*unlisted, *others] if count]
    warnings.warn(
        "no valid annotation, so every number is null: "
        + ("; ".join(why) or "the annotation file has none"),
        stacklevel=3,
    )
