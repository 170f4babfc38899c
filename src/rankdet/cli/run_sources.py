"""What the pages of single runs need besides the results: images, logs, the row to compare with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rankdet.errors import InputError

if TYPE_CHECKING:
    from rankdet.catalogue import Catalogue, State
    from rankdet.catalogue.presets import Preset
    from rankdet.datasets.manifest import Manifest
    from rankdet.report.pictures import ValData
    from rankdet.report.results import Result
    from rankdet.report.run_page import Sources

PREPARED = Path("data/prepared")  # where the workflow prepares its data sets
NO_ROW = "none"


def sources_of(
    catalogue: Catalogue,
    states: Mapping[str, State],
    found: Mapping[str, Result],
    preset: Preset,
    data: Path | None = None,
    logs: Path | None = None,
    others: Mapping[str, Result] | None = None,
    beside: str | None = None,
) -> Sources:
    """Return the sources of the pages of ``found``.

    Args:
        catalogue: the known entries.
        states: of the entries.
        found: the results whose pages are written.
        preset: of the results.
        data: a dataset.json or its folder; None takes that of each row below ``data/prepared``.
        logs: folder with ``<entry>/train.log``; None takes ``logs/<preset>`` if it exists.
        others: results to choose the row to compare with from; default: ``found``.
        beside: the row to compare with; ``none`` for none; None chooses one of ``others``.

    Raises:
        InputError: if ``data`` is not there.
    """
    from rankdet.report.run_page import Sources

    if data is not None and not data.exists():
        raise InputError("--data, a dataset.json", f"no {data}", "prepare it: `rankdet prepare`")
    if logs is None and Path("logs", preset.name).is_dir():
        logs = Path("logs", preset.name)
    others = found if others is None else others
    return Sources(
        preset=preset,
        catalogue=catalogue,
        states=states,
        val={name: _val_data(result, preset, data) for name, result in found.items()},
        logs=logs,
        others={name: _other(result, others, preset, beside) for name, result in found.items()},
    )


def _other(
    result: Result, others: Mapping[str, Result], preset: Preset, named: str | None
) -> Result | None:
    from rankdet.report.beside import beside

    if named is not None:
        return others.get(named)
    there = [each.entry for each in others.values()]
    entry = beside(result.entry, there, preset)
    return None if entry is None else others[entry.entry_id]


def _val_data(result: Result, preset: Preset, given: Path | None) -> ValData | str:
    """Return the val images of a row, or why there are none."""
    from rankdet.datasets.manifest import load_manifest

    path = given or PREPARED / preset.data_of(result.entry.dataset) / "dataset.json"
    if not path.exists():
        return f"no {path}"
    try:
        manifest = load_manifest(path)
    except InputError as error:
        if given is not None:
            raise
        return f"expected {error.expected}; got {error.got}"
    recorded = result.data.get("val_sha256")
    if recorded not in (None, manifest.identity()["val_sha256"]):
        return f"{path} is another data set than that of the run"
    return _of_manifest(manifest)


def _of_manifest(manifest: Manifest) -> ValData:
    from rankdet.datasets.images import STORED, find_images
    from rankdet.report.pictures import ValData

    return ValData(
        annotations=manifest.annotations("val"),
        images=manifest.images("val"),
        protocol=manifest.format,
        as_stored=manifest.val.orientation == STORED,
        find=find_images,
    )
