"""Provenance of all runs of a preset as an RO-Crate (Process Run Crate), by the library rocrate.

Root of the crate: ``results/<preset>``. The library only builds the graph here: it would copy the
files and write the present time, and the crate must be the same for the same results.
"""

from __future__ import annotations

import math
import mimetypes
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rankdet.catalogue import Catalogue, Entry
from rankdet.catalogue.papers import Paper, papers_of
from rankdet.catalogue.presets import Preset
from rankdet.hashing import file_sha256, json_sha256
from rankdet.report.facts import (
    TASKS,
    data_title,
    hardware,
    machine_of,
    period,
    values_of,
    versions_of,
)
from rankdet.report.names import loss_family, printable
from rankdet.report.results import Result, Run

METADATA = "ro-crate-metadata.json"
VERSION = "1.1"  # the newest that Process Run Crate 0.5 is defined on
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
TERMS = "https://w3id.org/ro/terms/workflow-run/context"
LICENSE = "https://spdx.org/licenses/Apache-2.0"
TRAINED = ("checkpoint.pth", "training.jsonl", "run.json")
EVALUATED = ("detections.json", "metrics.json", "curves.json")
BESIDE = ("model-card.md", "metafile.yml", "weights.json")  # about a run
TYPES = {".pth": "application/octet-stream", ".jsonl": "application/jsonlines", ".yml": "text/yaml"}
PARAMETERS = (
    *("iterations", "seed", "batch_size", "threads", "processes", "passes", "start_weights"),
    "code",
)
HOMES = {
    "python": "https://www.python.org",
    "torch": "https://pytorch.org",
    "cuda": "https://developer.nvidia.com/cuda-toolkit",
    "numpy": "https://numpy.org",
    "mmengine": "https://github.com/open-mmlab/mmengine",
    "mmdet": "https://github.com/open-mmlab/mmdetection",
    "mmcv": "https://github.com/open-mmlab/mmcv",
    "pycocotools": "https://github.com/ppwwyyxx/cocoapi",
}

Reference = dict[str, str]
Properties = dict[str, Any]


def crate_of(
    results: Mapping[str, Result], catalogue: Catalogue, preset: Preset, folder: Path
) -> dict[str, Any]:
    """Return the content of ``ro-crate-metadata.json``; what a run lacks is left out.

    Args:
        results: as `rankdet.report.results.read_results` returns them.
        catalogue: with the published values.
        preset: of the results.
        folder: of the results, the root of the crate.
    """
    graph = _Graph(catalogue, preset, folder)
    for result in results.values():
        for run in result.runs:
            graph.add_run(run)
    return graph.content(_published(results))


def _published(results: Mapping[str, Result]) -> str:
    """Return when the last run ended; without a record, when the newest metrics were written."""
    runs = [run for result in results.values() for run in result.runs]
    ends = [times[1] for run in runs if (times := period(run))]
    if ends:
        return max(ends)
    written = [(run.folder / "metrics.json").stat().st_mtime for run in runs]
    newest = datetime.fromtimestamp(max(written, default=0), UTC)
    return newest.isoformat(timespec="seconds")


class _Graph:
    """The entities of the crate; one that several runs share is added once."""

    def __init__(self, catalogue: Catalogue, preset: Preset, folder: Path) -> None:
        from rocrate.rocrate import ROCrate

        self.catalogue, self.preset, self.folder = catalogue, preset, folder
        self.crate = ROCrate(version=VERSION)
        self.crate.metadata.extra_contexts.append(TERMS)
        self.actions: list[Reference] = []
        self.papers: list[Reference] = []

    def content(self, published: str) -> dict[str, Any]:
        """Return the graph, with the root completed."""
        profile = self._add(
            PROFILE, "CreativeWork", name="Process Run Crate", version=PROFILE.rsplit("/", 1)[1]
        )
        license_ = self._add(
            LICENSE, "CreativeWork", name="Apache License 2.0", identifier="Apache-2.0"
        )
        root = self.crate.root_dataset
        self.papers.sort(key=str)
        for name, value in {
            "name": f"rankdet, preset {self.preset.name}",
            "description": self.preset.caption,
            "datePublished": published,
            "license": license_,
            "conformsTo": profile,
            "citation": self.papers,
            "mentions": self.actions,
        }.items():
            if _alone(value) is not None:
                root[name] = _alone(value)
        content: dict[str, Any] = self.crate.metadata.generate()
        return content

    def add_run(self, run: Run) -> None:
        """Add training and evaluation of one run, with all that they used and wrote."""
        trained = self._files(run, TRAINED)
        evaluated = self._files(run, EVALUATED)
        self._files(run, BESIDE)
        row = self._row(run.entry)
        measured_on = self._data(run, "val")
        software = self._software(run)
        checkpoint = [each for each in trained if each["@id"].endswith("checkpoint.pth")]
        name = f"{run.place} ({self.preset.name})"
        if trained and self.preset.trains:
            used = [row, *self._data(run, "train"), *self._parameters(run)]
            self._action(
                f"#{run.place}/training",
                name=f"Training of {name}",
                description=f"rankdet train {run.entry.entry_id} --preset {self.preset.name}",
                instrument=software,
                object=used,
                result=trained,
                **self._when(run),
                **self._usage(run),
            )
        self._action(
            f"#{run.place}/evaluation",
            name=f"Evaluation of {name}",
            description="rankdet predict and rankdet evaluate on the validation images",
            instrument=software,
            object=[*(checkpoint or [row]), *measured_on],
            result=[*evaluated, *self._metrics(run)],
        )

    # Entities. Each method returns references.

    def _add(self, place: str, kind: str, /, **properties: Any) -> Reference:
        from rocrate.model.contextentity import ContextEntity

        identifier = _identifier(place)
        if self.crate.get(identifier) is None:
            given = {name: _alone(value) for name, value in properties.items() if value != ""}
            given = {name: value for name, value in given.items() if value is not None}
            self.crate.add(ContextEntity(self.crate, identifier, {"@type": kind, **given}))
        return {"@id": identifier}

    def _action(self, place: str, **properties: Any) -> None:
        done = "http://schema.org/CompletedActionStatus"
        self.actions.append(self._add(place, "CreateAction", actionStatus=done, **properties))

    def _files(self, run: Run, names: tuple[str, ...]) -> list[Reference]:
        """Return those files of a run that exist, with size and hash."""
        found = []
        for name in names:
            path = run.folder / name
            if path.is_file():
                place = path.relative_to(self.folder).as_posix()
                self.crate.add_file(
                    dest_path=place,
                    properties={
                        "name": f"{name} of {run.place}",
                        "encodingFormat": _type_of(name),
                        "contentSize": str(path.stat().st_size),
                        "sha256": file_sha256(path),
                    },
                )
                found.append({"@id": quote(place)})
        return found

    def _row(self, entry: Entry) -> Reference:
        papers = [self._paper(paper) for paper in papers_of(entry)]
        return self._add(
            f"#{entry.entry_id}",
            "CreativeWork",
            name=printable(f"{entry.entry_id}: {entry.detector}, {entry.row_label}"),
            description=printable(
                f"Config configs/{entry.family}/{entry.entry_id}.py: {entry.detector} with "
                f"{entry.backbone}, {loss_family(entry)}; a row of {entry.table}, {entry.paper}"
            ),
            citation=papers,
        )

    def _paper(self, paper: Paper) -> Reference:
        authors = [
            self._add(f"#person-{name.replace(' ', '-')}", "Person", name=name)
            for name in paper.authors
        ]
        added = self._add(
            paper.doi,
            "ScholarlyArticle",
            name=paper.title,
            author=authors,
            datePublished=str(paper.year),
            publisher=paper.venue,
            url=paper.url,
        )
        if added not in self.papers:
            self.papers.append(added)
        return added

    def _data(self, run: Run, split: str) -> list[Reference]:
        """Return a split of the data by its hash: the images themselves are not in the crate."""
        sha256 = run.data.get(f"{split}_sha256")
        if not sha256:
            return []
        counts = {name: run.data.get(f"{split}_{name}") for name in ("images", "annotations")}
        shown = [f"{count} {name}" for name, count in counts.items() if count is not None]
        place = f"#data-{printable(sha256)}"
        return [
            self._add(
                place,
                "CreativeWork",
                name=printable(f"{data_title(run)}, {split} split"),
                description=", ".join(shown),
                identifier=self._value(f"{place}/sha256", "sha256 of the annotations", str(sha256)),
            )
        ]

    def _software(self, run: Run) -> Reference:
        """Return the version of rankdet, with the packages that it ran with."""
        versions = {**versions_of(run), "git": run.record.get("git") or "unknown"}
        own = printable(versions.pop("rankdet", "unknown"))
        git = printable(versions.pop("git"))
        others = [
            self._add(
                f"#{printable(name)}-{printable(version)}",
                "SoftwareApplication",
                name=printable(name),
                softwareVersion=printable(version),
                url=HOMES.get(name, ""),
            )
            for name, version in versions.items()
            if name != "operators"
        ]
        key = json_sha256([own, git, versions])[:12]
        return self._add(
            f"#rankdet-{key}",
            "SoftwareApplication",
            name="rankdet",
            description="Losses, evaluator and Snakemake workflow (workflow/Snakefile)",
            softwareVersion=own if git == "unknown" else f"{own}, commit {git}",
            softwareRequirements=others,
            license={"@id": LICENSE},
        )

    def _parameters(self, run: Run) -> list[Reference]:
        given = {"preset": self.preset.name}
        given |= {name: run.record[name] for name in PARAMETERS if run.record.get(name) is not None}
        given |= {"operators": run.operators} if run.operators else {}
        return [
            self._value(f"#{run.place}/{name}", name, value)
            for name, value in given.items()
            # JSON of an edited record may hold what JSON does not allow.
            if isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
        ]

    def _metrics(self, run: Run) -> list[Reference]:
        """Return the measured values, each beside the published one if they can be compared."""
        found = []
        for value in values_of(run, self.catalogue, self.preset):
            place = f"#{run.place}/{value.iou_type}/{value.metric}"
            about = f"{TASKS[value.iou_type]} on {data_title(run)}, validation split"
            found.append(
                self._value(place, value.label, value.measured, "percent", printable(about))
            )
            if value.published is not None:
                source = printable(f"Published value: {value.source}")
                name = f"published {value.label}"
                place = f"#{run.entry.entry_id}/published/{value.iou_type}/{value.metric}"
                published = self._value(place, name, value.published, "percent", source)
                row = self.crate.get(_identifier(f"#{run.entry.entry_id}"))
                row.append_to("subjectOf", published)
        return found

    def _when(self, run: Run) -> Properties:
        times = period(run)
        return {"startTime": times[0], "endTime": times[1]} if times else {}

    def _usage(self, run: Run) -> Properties:
        """Return the machine and the time of a training."""
        machine = {name: value for name, value in machine_of(run).items() if name != "cpu"}
        used = {"hardware": hardware(run), **machine, "seconds": run.record.get("seconds")}
        found = [
            self._value(f"#{run.place}/usage/{printable(name)}", printable(name), value)
            for name, value in used.items()
            if value not in (None, "")
        ]
        return {"resourceUsage": found} if found else {}

    def _value(
        self, identifier: str, name: str, value: Any, unit: str = "", about: str = ""
    ) -> Reference:
        shown = printable(value) if isinstance(value, str) else value
        return self._add(
            identifier, "PropertyValue", name=name, value=shown, unitText=unit, description=about
        )


def _identifier(text: str) -> str:
    """Return an identifier that is a valid reference, whatever names are in it."""
    return text if text.startswith("https://") else "#" + quote(text.removeprefix("#"))


def _alone(value: Any) -> Any:
    """Return the element of a list of one, as RO-Crate writes it; None for an empty list."""
    if isinstance(value, list):
        return value if len(value) > 1 else next(iter(value), None)
    return value


def _type_of(name: str) -> str:
    kind = TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0]
    return kind or "text/markdown"
