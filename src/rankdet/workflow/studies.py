"""Paths and parameters of the rules of studies, by their wildcards."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rankdet.catalogue.studies import (
    Study,
    load_studies,
    part_name,
    rate_name,
    study_data,
    study_of,
    study_presets,
)
from rankdet.workflow.inputs import Inputs

FIGURES = ("imbalance", "objects", "calibration", "time")
RESULTS = ("metrics.json", "run.json", "calibration.json")  # of each run


class Studies:
    """The jobs of the studies of configs/studies.yaml.

    Args:
        inputs: for the places of the runs.
        rates: returns the path of the chosen learning rates of a study, after it was written (a
            Snakemake checkpoint).
    """

    def __init__(self, inputs: Inputs, rates: Callable[[str], str]) -> None:
        self.inputs = inputs
        self._rates = rates

    @property
    def names(self) -> list[str]:
        """The studies."""
        return list(load_studies())

    @property
    def sets(self) -> list[str]:
        """The prepared sets of all studies."""
        return list(study_data())

    def study(self, wildcards: Any) -> Study:
        """Return the study; the error for an unknown name lists the known ones."""
        return study_of(wildcards.study)

    def digits_options(self, wildcards: Any) -> str:
        """Return the options of `rankdet prepare digits` of a prepared set."""
        options = study_data()[wildcards.studyset]
        words = ((name.replace("_", "-"), value) for name, value in options.items())
        return " ".join(
            f"--{name} {value:g}" if isinstance(value, float) else f"--{name} {value}"
            for name, value in words
        )

    def tried(self, wildcards: Any) -> list[str]:
        """Return the metrics of each method with each learning rate."""
        study = self.study(wildcards)
        presets = [rate_name(wildcards.study, rate) for rate in study.learning_rates]
        return self._files(study, presets, ("metrics.json",))

    def measured(self, wildcards: Any) -> list[str]:
        """Return the results of each method on each set with each seed."""
        study = self.study(wildcards)
        presets = [part_name(wildcards.study, each) for each in study.sets]
        return self._files(study, presets, RESULTS)

    def files(self, study: str) -> list[str]:
        """Return all that a study's target writes for readers."""
        folder = f"results/studies/{study}"
        names = ("report.html", "report.md", "runs.csv", "summary.csv", "rates.json")
        figures = [f"{name}.{kind}" for name in FIGURES for kind in ("svg", "png")]
        return [f"{folder}/{name}" for name in (*names, *figures)]

    def _files(self, study: Study, presets: list[str], names: tuple[str, ...]) -> list[str]:
        return [
            f"results/{preset}/{run}/{name}"
            for preset in presets
            for method in study.methods
            for run in self.inputs.runs(preset, method)
            for name in names
        ]

    def rates(self, wildcards: Any) -> list[str]:
        """Return the file of the chosen learning rates if the training needs one of them."""
        preset = study_presets().get(wildcards.preset)
        if preset is None or preset.learning_rate is not None:
            return []
        return [self._rates(wildcards.preset.split("-")[0])]

    def training_options(self, wildcards: Any) -> str:
        """Return the options for length and learning rate of a training, if they are set."""
        options = [each for each in [self.inputs.length(wildcards)] if each]
        for path in self.rates(wildcards):
            rates = json.loads(Path(path).read_text(encoding="utf-8"))
            options.append(f"--learning-rate {rates['chosen'][wildcards.entry]:g}")
        return " ".join(options)
