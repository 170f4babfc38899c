"""The real material of the digits set: handwriting and photographs that scikit-learn ships."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

# Handwriting and photograph regions of train and val are disjoint.
TRAIN_SHARE = 0.8


@dataclass(frozen=True)
class Material:
    """What one split may draw from.

    Attributes:
        digits: handwritten digits, ink in 0..1 (D, 8, 8).
        labels: their classes 0..9 (D).
        photographs: RGB photographs, each (H, W, 3) uint8.
    """

    digits: np.ndarray
    labels: np.ndarray
    photographs: tuple[np.ndarray, ...]


@cache
def material(split: str) -> Material:
    """Return the handwriting and the photograph regions of ``split`` ("train" or "val")."""
    from sklearn.datasets import load_digits, load_sample_images

    digits = load_digits()
    count = int(len(digits.images) * TRAIN_SHARE)
    chosen = slice(0, count) if split == "train" else slice(count, None)
    photographs = []
    for photograph in load_sample_images().images:
        cut = int(photograph.shape[1] * 0.55)
        columns = slice(0, cut) if split == "train" else slice(cut, None)
        photographs.append(photograph[:, columns])
    return Material(digits.images[chosen] / 16.0, digits.target[chosen], tuple(photographs))


def draw_digit(
    ink: np.ndarray, height: int, angle: float, aspect: float
) -> tuple[np.ndarray, np.ndarray]:
    """Enlarge, stretch and turn one 8 x 8 digit.

    Args:
        ink: (8, 8) in 0..1.
        height: height in pixels before turning.
        angle: degrees, counter-clockwise.
        aspect: width / height.

    Returns:
        Opacity in 0..1 (h, w), and the mask (h, w) bool; both cut to the mask's own box.
    """
    ink = np.pad(ink, 1)  # strokes touch the 8 x 8 frame; without a rim they look cut off
    width = max(8, round(height * aspect))
    large = cv2.resize(ink, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    side = int(np.hypot(height, width)) + 2
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    turn[:, 2] += (side - width) / 2, (side - height) / 2
    opacity = cv2.warpAffine(large, turn, (side, side), flags=cv2.INTER_LINEAR).clip(0, 1)
    mask = opacity > 0.35
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return opacity[window], mask[window]


def background(photographs: tuple[np.ndarray, ...], side: int, rng: np.random.Generator):
    """Cut a random square from a photograph, mirror and dim it: (side, side, 3) uint8 RGB."""
    photograph = photographs[rng.integers(len(photographs))]
    cut = int(rng.integers(96, min(photograph.shape[:2]) + 1))
    top = rng.integers(photograph.shape[0] - cut + 1)
    left = rng.integers(photograph.shape[1] - cut + 1)
    square = cv2.resize(photograph[top : top + cut, left : left + cut], (side, side))
    if rng.random() < 0.5:
        square = square[:, ::-1]
    gain, lift = rng.uniform(0.5, 0.9), rng.uniform(0, 50)
    return np.clip(square * gain + lift, 0, 255).astype(np.uint8)
