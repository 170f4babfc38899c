"""``rankdet calibrate``: scores that mean something, fitted on one split and tested on another."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankdet.cli.app import app
from rankdet.cli.sources import (
    AnnotationsPath,
    DatasetPath,
    ProtocolName,
    detections_file,
    ground_truth,
)
from rankdet.errors import InputError
from rankdet.outputs import check_outputs

if TYPE_CHECKING:
    import numpy as np

    from rankdet.evaluation import GroundTruth
    from rankdet.evaluation.calibration import Split
    from rankdet.evaluation.calibrators import Calibration

NUMBERS = ("D-ECE", "LaECE", "LaECE_0", "LaACE_0")


@app.command("calibrate")
def calibrate_command(
    detections: Annotated[
        Path,
        typer.Option("--detections", help="COCO results JSON to fit to, or a folder with it."),
    ],
    out: Annotated[Path, typer.Option("--out", help="calibration.json to write.")],
    annotations: AnnotationsPath = None,
    dataset: DatasetPath = None,
    test_annotations: Annotated[
        Path | None,
        typer.Option("--test-annotations", help="Annotations of other images, to test on."),
    ] = None,
    test_detections: Annotated[
        Path | None, typer.Option("--test-detections", help="Results on these images.")
    ] = None,
    hold_out: Annotated[
        float | None,
        typer.Option(
            "--hold-out", help="Instead of test files: the part of the images to test on, as 0.5."
        ),
    ] = None,
    iou_type: Annotated[str, typer.Option("--iou-type", help="bbox or segm.")] = "bbox",
    protocol: ProtocolName = None,
    method: Annotated[
        str, typer.Option(help="Kind of map: isotonic, platt or linear.")
    ] = "isotonic",
    target: Annotated[
        str,
        typer.Option(help="What scores predict: iou (with the object), or precision (at IoU 0.5)."),
    ] = "iou",
    per_class: Annotated[
        bool, typer.Option(help="A map for each class with enough detections; else one for all.")
    ] = True,
    seed: Annotated[int, typer.Option(min=0, help="Of the division by --hold-out.")] = 0,
    figures: Annotated[
        Path | None, typer.Option("--figures", help="Folder for reliability.svg and .png.")
    ] = None,
) -> None:
    """Fit a map from scores to calibrated scores; measure it on images that it has not seen.

    Example: rankdet calibrate --annotations val.json --detections detections.json
    --hold-out 0.5 --out calibration.json
    """
    _check_split(test_annotations, test_detections, hold_out)
    annotations, chosen = ground_truth(annotations, dataset, protocol)
    given = [annotations, dataset, detections, test_annotations, test_detections]
    drawn = {} if figures is None else _figures(figures)
    check_outputs({"--out": out, **drawn}, {"--figures": figures}, inputs=given)
    detections = detections_file(detections)

    from rankdet.evaluation import read_detections, read_ground_truth
    from rankdet.evaluation.calibration import deployment_thresholds
    from rankdet.evaluation.calibrators import Settings, fit, write_calibration
    from rankdet.evaluation.columns import IOU_TYPES, choose

    choose("--iou-type", iou_type, IOU_TYPES)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        truth = read_ground_truth(annotations, iou_type, chosen)
        settings = Settings(method, target, per_class, known=(iou_type, truth.protocol))
        found = read_detections(detections, truth)
        if hold_out is not None:
            parts = _divided(truth, found, iou_type, hold_out, seed)
        else:
            assert test_annotations is not None and test_detections is not None
            paths = test_annotations, detections_file(test_detections)
            parts = _two_splits(truth, found, iou_type, *paths)
        thresholds = deployment_thresholds(parts[0])
        names = truth.category_ids.tolist(), truth.category_names
        calibration = fit(parts[0], *names, settings, thresholds)
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        typer.echo(f"rankdet: warning: {message}", err=True)
    _measure(calibration, thresholds, *parts)
    write_calibration(out, calibration)
    if figures is not None:
        _draw(calibration, parts[1], figures)
    for line in _lines(calibration):
        typer.echo(line)


def _figures(folder: Path) -> dict[str, Path]:
    suffixes = ("svg", "png")
    return {f"reliability.{each} in --figures": folder / f"reliability.{each}" for each in suffixes}


def _check_split(
    test_annotations: Path | None, test_detections: Path | None, hold_out: float | None
) -> None:
    files = [test_annotations is not None, test_detections is not None]
    is_divided = hold_out is not None
    if all(files) == is_divided or any(files) != all(files):
        raise InputError(
            "other images to test on: --test-annotations with --test-detections, or --hold-out",
            "neither" if not any(files) and not is_divided else "a part of them, or both",
            "a calibration is never tested on the images of its fit",
        )
    if hold_out is not None and not 0 < hold_out < 1:
        raise InputError("--hold-out between 0 and 1", f"{hold_out:g}", "0.5 is usual")


def _divided(
    truth: GroundTruth, found: Any, iou_type: str, hold_out: float, seed: int
) -> tuple[Split, Split]:
    """Return the detections on two random parts of the images."""
    from rankdet.evaluation.calibration import divided

    images = len(truth.image_ids)
    held = round(hold_out * images)
    if not 0 < held < images:
        raise InputError(
            "an image in each part", f"{held} of {images} images held out", "change --hold-out"
        )
    return divided(truth, found, iou_type, held, seed)


def _two_splits(
    truth: GroundTruth, found: Any, iou_type: str, annotations: Path, detections: Path
) -> tuple[Split, Split]:
    """Return the detections on two data sets of the same classes and different images."""
    from rankdet.evaluation import read_detections, read_ground_truth
    from rankdet.evaluation.calibration import split
    from rankdet.evaluation.common_images import refuse_common_images

    other = read_ground_truth(annotations, iou_type, truth.protocol)
    classes, own = (
        list(zip(each.category_ids.tolist(), each.category_names, strict=True))
        for each in (truth, other)
    )
    if classes != own:
        raise InputError(
            "the same categories in both annotation files",
            f"{len(classes)} and {len(own)}, or other ids or names",
            "use splits of one data set",
        )
    results = read_detections(detections, other)
    refuse_common_images(truth, found, other, results)
    return split(truth, found, iou_type), split(other, results, iou_type)


def _measure(
    calibration: Calibration, thresholds: np.ndarray, fitted: Split, tested: Split
) -> None:
    """Keep what the calibration changes on the images that it was not fitted to."""
    from rankdet.evaluation.calibration import errors_of, lrp_at, optimal_thresholds

    record = calibration.record
    for name, part in (("fitted_on", fitted), ("tested_on", tested)):
        record[name] = {
            "images": part.images,
            "detections": len(part.strict.score),
            "annotations": int(part.counts.sum()),
        }
    record["tested_on"]["LRP_at_thresholds"] = lrp_at(tested, thresholds)
    record["tested_on"]["oLRP"] = lrp_at(tested, optimal_thresholds(tested))
    # Calibration keeps the order within a class: the same detections are above the threshold.
    for name, part in (("all", tested), ("above_thresholds", tested.above(thresholds))):
        record[name] = {
            "detections": len(part.strict.score),
            "before": errors_of(part),
            "after": errors_of(part.scored(_change(calibration))),
        }


def _change(calibration: Calibration) -> Any:
    import numpy as np

    ids = np.array([each.id for each in calibration.categories])
    return lambda category, score: calibration.apply(ids[category], score)


def _draw(calibration: Calibration, tested: Split, folder: Path) -> None:
    from rankdet.evaluation.calibration import binned
    from rankdet.report.reliability import write

    is_iou = calibration.target == "iou"
    parts = {}
    for name, part in (("before", tested), ("after", tested.scored(_change(calibration)))):
        judged = part.loose if is_iou else part.strict
        parts[name] = binned(judged.score, judged.iou if is_iou else judged.is_true)
    images = calibration.record["tested_on"]["images"]
    fitted = calibration.record["fitted_on"]["images"]
    caption = (
        f"{calibration.method} map, fitted to {fitted} images, {len(tested.strict.score)} "
        f"detections on {images} other images. On the dashed line a score is what it promises."
    )
    write(parts, calibration.target, caption, folder)


def _lines(calibration: Calibration) -> list[str]:
    record = calibration.record
    fitted, tested = record["fitted_on"], record["tested_on"]
    own = sum(each.map is not None for each in calibration.categories)
    lines = [
        f"{calibration.method}, to {calibration.target}: fitted on {fitted['images']} images, "
        f"{own} of {len(calibration.categories)} classes have a map of their own",
        f"tested on {tested['images']} other images, before -> after, x100:",
    ]
    for label, key in (("all detections", "all"), ("above the thresholds", "above_thresholds")):
        part = record[key]
        numbers = (
            f"{name} {_percent(part['before'][name])} -> {_percent(part['after'][name])}"
            for name in NUMBERS
        )
        lines.append(f"  {label} ({part['detections']}): {'  '.join(numbers)}")
    lines.append(
        f"  LRP at the thresholds of the fit {_percent(tested['LRP_at_thresholds'])}; "
        f"with the best ones of the test images {_percent(tested['oLRP'])}"
    )
    return lines


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
