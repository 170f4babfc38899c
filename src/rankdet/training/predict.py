"""`rankdet predict`: run a checkpoint on the val images and write COCO results JSON."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rankdet.catalogue.presets import Preset
from rankdet.cluster.slurm import rank
from rankdet.datasets.manifest import Manifest
from rankdet.evaluation.calibrators import Calibration, read_calibration
from rankdet.files import read_json
from rankdet.outputs import write_json
from rankdet.training.checkpoints import load_weights
from rankdet.training.resolve import resolve
from rankdet.training.runner import prepare_runner, use_threads
from rankdet.training.start import forget_weights


def predict(
    entry_id: str,
    preset: Preset,
    data: Manifest,
    checkpoint: Path,
    out: Path,
    work_dir: Path,
    threads: int | None = None,
    workers: int | None = None,
    calibration: Path | None = None,
) -> dict:
    """Run a checkpoint on the val images and write its detections to ``out``.

    Boxes and, if the model has them, masks are in the same entries; the file is a list of
    {"image_id", "category_id", "bbox" [x, y, w, h], "score"[, "segmentation"]}.

    Args:
        entry_id: an id of the catalogue.
        preset: that the checkpoint was trained under.
        data: the prepared data set.
        checkpoint: as published by `rankdet.training.run.train`.
        out: the detections.
        work_dir: for logs.
        threads: of the CPU; by default as torch chooses.
        workers: loading processes; by default as configured.
        calibration: a file of `rankdet calibrate`, to apply to the scores; the order within a class
            stays, and so do the metrics.

    Returns:
        The metrics of the evaluator during prediction (the final metrics come from `rankdet
        evaluate`, which reads the file).

    Raises:
        InputError: if the checkpoint is missing, damaged, or of another model or other classes; if
            the calibration is damaged or of other classes.
    """
    maps = None if calibration is None else _calibration_of(calibration, data)
    config = resolve(entry_id, preset, data)
    forget_weights(config)
    use_threads(threads)
    # Uncalibrated scores are never in the place of calibrated ones, even after a kill.
    written = out if maps is None else Path(work_dir) / "uncalibrated.json"
    config.test_evaluator.out_file = str(written)
    runner = prepare_runner(config, work_dir, seed=0, workers=workers)
    load_weights(runner.model, checkpoint, data.classes)
    metrics = runner.test()
    if maps is not None and rank() == 0:
        write_calibrated(written, maps, out)
        written.unlink()
    return metrics


def _calibration_of(path: Path, data: Manifest) -> Calibration:
    found = read_calibration(path)
    found.require(data.category_ids, data.classes)
    return found


def write_calibrated(source: Path, calibration: Calibration, out: Path) -> None:
    """Write a results file again, with calibrated scores.

    Args:
        source: the COCO results.
        calibration: of the same categories.
        out: the file to write, in one step.
    """
    rows = read_json(source, "a results file")
    category = np.array([row["category_id"] for row in rows], dtype=np.int64)
    score = np.array([row["score"] for row in rows], dtype=np.float64)
    for row, value in zip(rows, calibration.apply(category, score).tolist(), strict=True):
        row["score"] = value
    write_json(out, rows, indent=None)
