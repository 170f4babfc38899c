"""Results of a study: the chosen learning rates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rankdet.catalogue import load_catalogue
from rankdet.catalogue.studies import rate_name, study_of
from rankdet.errors import InputError
from rankdet.report.results import read_results


def choose_rates(name: str, results: Path) -> dict[str, Any]:
    """Return the learning rate of each method with the highest AP on the tuning split.

    Of equal ones the lower rate is taken.

    Args:
        name: of the study.
        results: folder with ``<study>-rate-<rate>/<entry>/``.

    Returns:
        ``chosen`` {method: rate} and ``AP`` {method: {rate: percent}}.

    Raises:
        InputError: if a result is missing.
    """
    study, catalogue = study_of(name), load_catalogue()
    found: dict[str, dict[str, float]] = {method: {} for method in study.methods}
    for rate in sorted(study.learning_rates):
        preset = rate_name(name, rate)
        by_method = read_results(catalogue, results / preset, preset, study.methods)
        for method in study.methods:
            value = by_method[method].metric("bbox", "AP") if method in by_method else None
            if value is None:
                fix = "run the study's workflow"
                raise InputError(f"the AP of {method}, preset {preset}", "no result", fix)
            found[method][f"{rate:g}"] = value
    chosen = {method: float(max(by_rate, key=by_rate.__getitem__)) for method, by_rate in found.items()}
    return {"study": name, "chosen": chosen, "AP": found}
