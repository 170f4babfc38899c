"""The figures of a preset: names of their files, titles and captions, in the order of the page."""

from __future__ import annotations

from typing import NamedTuple


class Caption(NamedTuple):
    """What a figure is called, and what it shows."""

    title: str
    text: str


FIGURES = {
    "ap": Caption(
        "AP on the validation set",
        "Average precision of every entry, by detector; one color per loss.",
    ),
    "olrp": Caption(
        "oLRP on the validation set",
        "Optimal LRP error of every entry: localization, false positives and misses in one "
        "number, lower is better.",
    ),
    "published": Caption(
        "Published and reproduced AP",
        "Reproduced AP over published AP. On the line both are equal; the band is ±0.3 AP, the "
        "variation from run to run. Error bars: standard deviation over the seeds.",
    ),
    "cost": Caption(
        "AP and training time",
        "AP over the measured time of the training; up and left is better.",
    ),
    "training": Caption(
        "Training",
        "Training loss (running mean) and validation metrics by iteration, by loss family; one "
        "dash pattern per detector. Validation during training may use a part of the validation "
        "set; the final values are in the tables.",
    ),
    "loss_terms": Caption(
        "Loss terms",
        "Every term of the training loss (running mean), by loss family. For aLRP Loss also the "
        "weight of the localization loss, which balances itself.",
    ),
    "precision_recall": Caption(
        "Precision and recall, mean over classes",
        "Precision by recall, mean over classes; below each detector AP at these IoU thresholds.",
    ),
    "lrp": Caption(
        "LRP error by score threshold, mean over classes",
        "LRP error if detections below one common score threshold are dropped, lower is better. "
        "The dot is the lowest point; oLRP is at or below it, since it uses the best threshold of "
        "each class.",
    ),
    "correlation": Caption(
        "Score and localization quality",
        "Correlation of score and IoU over the true positives at IoU 0.5 of all classes, and their "
        "mean IoU by score, from the tenth with the lowest scores to the tenth with the highest.",
    ),
}
