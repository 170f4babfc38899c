"""`rankdet predict`: run a checkpoint on the val images and write COCO results JSON."""

from __future__ import annotations

from pathlib import Path

from rankdet.catalogue.presets import Preset
from rankdet.datasets.manifest import Manifest
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

    Returns:
        The metrics of the evaluator during prediction (the final metrics come from `rankdet
        evaluate`, which reads the file).

    Raises:
        InputError: if the checkpoint is missing, damaged, or of another model or other classes.
    """
    config = resolve(entry_id, preset, data)
    forget_weights(config)
    use_threads(threads)
    config.test_evaluator.out_file = str(out)
    runner = prepare_runner(config, work_dir, seed=0, workers=workers)
    load_weights(runner.model, checkpoint, data.classes)
    return runner.test()
