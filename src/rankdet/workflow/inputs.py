"""Paths and parameters of the search rules, from configs/searches.yaml."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rankdet.catalogue import Catalogue, Entry, config_files, config_identity, table_identity
from rankdet.catalogue.presets import Preset, presets_of_site
from rankdet.catalogue.seeds import LARGEST, run_place, seed_in, seed_of
from rankdet.datasets.own_files import annotation_files
from rankdet.downloads.table import backbone_of, find_backbone
from rankdet.errors import InputError, nearest
from rankdet.paths import BACKBONES
from rankdet.report.beside import beside
from rankdet.report.captions import FIGURES
from rankdet.search.plan import Plan
from rankdet.training.records import BESIDE, is_finished

FORMATS = ("svg", "png", "md", "csv", "html")


class Searches:
    """Paths of the jobs of a search, by their wildcards.

    Args:
        plans: by name.
    """

    def __init__(self, plans: Mapping[str, Plan]) -> None:
        self.plans = plans

    def plan(self, wildcards: Any) -> Plan:
        """Return the plan of a search; the error for an unknown name lists the known ones."""
        if wildcards.search not in self.plans:
            hint = nearest(wildcards.search, self.plans)
            raise InputError("a search of configs/searches.yaml", repr(wildcards.search), hint)
        return self.plans[wildcards.search]

    def dataset(self, wildcards: Any) -> str:
        """Return the prepared data set that is split for the search."""
        return f"data/prepared/{self.plan(wildcards).data}/dataset.json"

    def previous_round(self, wildcards: Any) -> str:
        """Return the folder of the previous round."""
        return f"results/search/{wildcards.search}/round-{int(wildcards.round) - 1:03d}"

    def previous_state(self, wildcards: Any) -> str:
        """Return the state of the previous round."""
        return f"{self.previous_round(wildcards)}/state.json"

    def previous_samples(self, wildcards: Any) -> list[str]:
        """Return the samples of the previous round."""
        return self._samples(wildcards, self.previous_round(wildcards))

    def rounds(self, wildcards: Any) -> list[str]:
        """Return all samples and all states of a search, the final one included."""
        rounds = [
            f"results/search/{wildcards.search}/round-{index:03d}"
            for index in range(self.plan(wildcards).rounds + 1)
        ]
        samples = [path for each in rounds[:-1] for path in self._samples(wildcards, each)]
        return [*samples, *(f"{each}/state.json" for each in rounds)]

    def files(self, search: str) -> list[str]:
        """Return the result of a search and its report, in every format."""
        folder = f"results/search/{search}"
        return [
            *(f"{folder}/found.json", f"{folder}/found.py"),
            *(f"{folder}/search.{suffix}" for suffix in FORMATS),
        ]

    def _samples(self, wildcards: Any, folder: str) -> list[str]:
        return [f"{folder}/sample-{index}.json" for index in range(self.plan(wildcards).samples)]


FIGURE_FORMATS = ("svg", "png")
TABLE_FORMATS = ("html", "md", "csv", "tex")
CARDS = ("model-card.md", "metafile.yml")  # of each run
MEASURED = ("metrics.json", "curves.json")  # of each row, by its evaluation
FETCHED = "data/coco"  # a COCO folder with this path is downloaded; any other is the user's own


class Inputs:
    """Paths and parameters of the jobs, by their wildcards.

    Args:
        config: of the workflow, validated.
        catalogue: the table entries.
        published: returns the path of the list of available models of a group, after it was
            written (a Snakemake checkpoint).

    Raises:
        InputError: if the config names a preset or an entry that does not exist.
    """

    def __init__(
        self, config: Mapping[str, Any], catalogue: Catalogue, published: Callable[[str], str]
    ) -> None:
        self.config = config
        self.catalogue = catalogue
        self.presets = presets_of_site(config["presets"])
        self._published = published
        for preset in self.presets.values():
            for name in (*preset.entries, *preset.more_entries, *preset.row_seeds):
                self.catalogue[name]

    def preset(self, wildcards: Any) -> Preset:
        """Return the preset with the changes of the site."""
        if wildcards.preset not in self.presets:
            known = ", ".join(self.presets)
            hint = nearest(wildcards.preset, self.presets)
            raise InputError(f"a preset ({known})", repr(wildcards.preset), hint)
        return self.presets[wildcards.preset]

    def entry(self, wildcards: Any) -> Entry:
        """Return the entry."""
        return self.catalogue[wildcards.entry]

    # Data sets.

    def dataset(self, wildcards: Any) -> str:
        """Return the prepared data set; LVIS and Cityscapes rows may have their own."""
        name = self.preset(wildcards).data_of(self.entry(wildcards).dataset)
        return f"data/prepared/{name}/dataset.json"

    def fetched(self, wildcards: Any) -> list[str]:
        """Return the hash file of a downloaded COCO; nothing if the user has their own folder."""
        own = wildcards.name != "coco" or self.config["coco"] != FETCHED
        return [] if own else ["data/downloads/coco.sha256"]

    def fetched_lvis(self, wildcards: Any) -> list[str]:
        """Return the hash files of downloaded LVIS annotations and COCO images."""
        names = ["lvis", "coco"] if self.config["lvis"] == FETCHED else []
        return [f"data/downloads/{name}.sha256" for name in names]

    def own_annotations(self, wildcards: Any) -> list[str]:
        """Return the annotation files of a user's own folder; a change prepares it again."""
        root = self.config[wildcards.name.removesuffix("-overfit")]
        return [] if self.fetched(wildcards) else annotation_files(root)

    def own_lvis(self, wildcards: Any) -> list[str]:
        """Return the LVIS annotations of a user's own folder."""
        if self.fetched_lvis(wildcards):
            return []
        return annotation_files(self.config["lvis"], "lvis")

    # Downloaded weights.

    def start_weights(self, wildcards: Any) -> list[str]:
        """Return the pretrained weights of the official run; other presets need none."""
        row = backbone_of(self.entry(wildcards)) if wildcards.preset == "paper" else None
        return [str(BACKBONES / row.file)] if row else []

    def known_backbone(self, wildcards: Any) -> list[str]:
        """Return no file; the error for an unknown backbone lists the known ones."""
        find_backbone(f"{wildcards.file}.pth")
        return []

    def from_inbox(self, wildcards: Any) -> list[str]:
        """Return the official model if a user downloaded it by hand."""
        path = Path("data/inbox", f"{self.entry(wildcards).entry_id}.pth")
        return [str(path)] if path.exists() else []

    def model_statuses(self, wildcards: Any) -> list[str]:
        """Return the status files of a group: the rows of a table, one row, or all."""
        if wildcards.group == "all":
            entries = self.entries_of(SimpleNamespace(preset="published"))
        elif wildcards.group in self.catalogue:
            entries = [wildcards.group]
        else:
            entries = self.table_entries(SimpleNamespace(preset="published", table=wildcards.group))
        return [f"results/published/{entry}/weights.json" for entry in entries]

    def published_models(self, group: str) -> dict[str, str]:
        """Return {entry: official file} of the models of a group that are available."""
        content = json.loads(Path(self._published(group)).read_text(encoding="utf-8"))
        return {model["entry"]: model["file"] for model in content["available"]}

    def official_model(self, wildcards: Any) -> str:
        """Return the official file of an entry.

        Raises:
            InputError: with the reason, if there is none.
        """
        models = self.published_models(wildcards.entry)
        if wildcards.entry not in models:
            status = f"results/published/{wildcards.entry}/weights.json"
            reason = json.loads(Path(status).read_text(encoding="utf-8"))["reason"]
            raise InputError(f"a published model of {wildcards.entry}", reason, f"see {status}")
        return models[wildcards.entry]

    # Seeds.

    def seeds(self, wildcards: Any) -> tuple[int, ...]:
        """Return the seeds of a row: its own, else those of the preset, else of all trainings."""
        preset = self.preset(wildcards)
        own = preset.row_seeds.get(wildcards.entry) or preset.seeds
        # `seed` is the former setting of one seed.
        former = [self.config["seed"]] if "seed" in self.config else self.config.get("seeds", [0])
        return tuple(map(int, own or former))

    def seed(self, wildcards: Any) -> int:
        """Return the seed of one run: of its folder, else of the run there, else the first.

        Raises:
            InputError: if the folder names a seed that is too large.
        """
        name = wildcards.seed.removeprefix("/")
        if name:
            seed = seed_of(name)
            if seed is None:
                expected = f"a seed from 0 to {LARGEST}"
                raise InputError(expected, name, "request another folder")
            return seed
        seeds = self.seeds(wildcards)
        there = seed_in(Path(), wildcards.preset, wildcards.entry)
        return there if there in seeds else seeds[0]

    def runs(self, preset: str, entry: str) -> list[str]:
        """Return the runs of a row as ``<entry>`` or ``<entry>/seed-<n>``, a run per seed."""
        own = SimpleNamespace(preset=preset, entry=entry)
        if not self.preset(own).trains:
            return [entry]
        seeds = self.seeds(own)
        return [run_place(Path(), preset, entry, seed, seeds) for seed in seeds]

    # One row.

    def length(self, wildcards: Any) -> str:
        """Return the option for the iterations of a short preset, if the site sets them."""
        own = self.config["presets"].get(self.preset(wildcards).name, {})
        return f"--iterations {own['iterations']}" if "iterations" in own else ""

    def entry_config(self, wildcards: Any) -> list[str]:
        """Return the entry's config files. Only their existence matters; `settings` reads them."""
        return [str(path) for path in config_files(self.entry(wildcards))]

    def settings(self, wildcards: Any) -> str:
        """Return a hash of the entry's config; if it changes, the row trains again."""
        return config_identity(self.entry(wildcards))

    def iou_options(self, wildcards: Any) -> str:
        """Return the evaluation options of an entry: boxes, and masks if it trains them."""
        return " ".join(f"--iou-type {kind}" for kind in self.entry(wildcards).iou_types)

    # Rows of a preset and of a table.

    def runnable(self, entries: Iterable[Entry]) -> list[str]:
        """Return the ids of the entries that have a config here."""
        return [entry.entry_id for entry in entries if entry.config_path.exists()]

    def entries_of(self, wildcards: Any) -> list[str]:
        """Return the entries that a preset runs: those that it lists, else all with a config."""
        return list(self.preset(wildcards).entries) or self.runnable(self.catalogue)

    def all_rows_of(self, wildcards: Any) -> list[str]:
        """Return the entries of a preset's long target: `entries` and `more_entries`."""
        return [*self.entries_of(wildcards), *self.preset(wildcards).more_entries]

    def table_entries(self, wildcards: Any) -> list[str]:
        """Return a table's entries that the preset runs; if it runs none, all with a config."""
        own = self.runnable(self.catalogue.table(wildcards.table).entries)
        listed = [entry for entry in own if entry in self.entries_of(wildcards)]
        return listed or own

    def _rows(self, wildcards: Any) -> list[str]:
        return (self.table_entries if hasattr(wildcards, "table") else self.entries_of)(wildcards)

    def tables_of(self, wildcards: Any) -> list[str]:
        """Return the slugs of the tables that have at least one entry of the preset."""
        chosen = set(self.entries_of(wildcards))
        return [
            table.slug
            for table in self.catalogue.tables
            if chosen & {entry.entry_id for entry in table.entries}
        ]

    def content(self, wildcards: Any) -> str:
        """Return a hash of the catalogue's data on the rows of a table; else on all rows.

        For a row, it is the table of the row.
        """
        table = getattr(wildcards, "table", None)
        if hasattr(wildcards, "entry"):
            table = self.entry(wildcards).table_slug
        rows = self.catalogue.table(table).entries if table else None
        return table_identity(self.catalogue, rows)

    def row_content(self, wildcards: Any) -> str:
        """Return a hash of the catalogue's data on one row."""
        return table_identity(self.catalogue, [self.entry(wildcards)])

    def paper_of(self, wildcards: Any) -> str:
        """Return the paper of a table."""
        return self.catalogue.table(wildcards.table).paper

    # Inputs of tables, figures and pages.

    def results(self, wildcards: Any, name: str, entries: Iterable[str] | None = None) -> list[str]:
        """Return the file ``name`` of each run, by default of the table's or of the preset's rows.

        For missing published weights, it is the file with the reason.
        """
        entries = self._rows(wildcards) if entries is None else list(entries)
        there: Iterable[str] = entries
        if wildcards.preset == "published":
            there = self.published_models(self._group(wildcards))
        return [
            f"results/{wildcards.preset}/{run}/{name if entry in there else 'weights.json'}"
            for entry in entries
            for run in self.runs(wildcards.preset, entry)
        ]

    def _group(self, wildcards: Any) -> str:
        """Return the group of published models that a job needs: of a table, of a row, or all."""
        own = getattr(wildcards, "entry", None)
        return str(getattr(wildcards, "table", self.catalogue[own].table_slug if own else "all"))

    def records(self, wildcards: Any, name: str, entries: Iterable[str] | None = None) -> list[str]:
        """Return run.json or training.jsonl of each run that has it or can restore it.

        A missing file is restored from the work directory of the training. If that is missing too,
        the row stays without it: results do not need it, and nothing is trained again for it.
        """
        if wildcards.preset == "published":
            return []
        entries = self._rows(wildcards) if entries is None else entries
        return [
            path
            for entry in entries
            for run in self.runs(wildcards.preset, entry)
            for path in _record(wildcards.preset, run, name)
        ]

    def measured(self, wildcards: Any, entries: Iterable[str]) -> list[str]:
        """Return all inputs of figures and pages."""
        entries = list(entries)
        return [
            *(path for name in MEASURED for path in self.results(wildcards, name, entries)),
            *(path for name in BESIDE for path in self.records(wildcards, name, entries)),
        ]

    def pages(self, wildcards: Any) -> list[str]:
        """Return the pages of the runs of the table's or of the preset's rows."""
        return self.results(wildcards, "run.html")

    def all_pages(self, wildcards: Any) -> list[str]:
        """Return the pages of the runs of all rows of a preset's long target."""
        return self.results(wildcards, "run.html", self.all_rows_of(wildcards))

    def beside(self, wildcards: Any) -> str:
        """Return the row whose detections a run's page shows beside those of the run, or "none".

        It is a row that the same target makes: of a short preset's own list, or of the row's table,
        so that no table and no report has other rows trained for days.
        """
        own = self.entry(wildcards)
        preset = self.preset(wildcards)
        rows = list(preset.entries)
        if preset.is_comparable or not rows:
            table = SimpleNamespace(preset=wildcards.preset, table=own.table_slug)
            rows = self.table_entries(table)
        if wildcards.preset == "published":
            there = self.published_models(own.table_slug)
            rows = [entry for entry in rows if entry in there]
        other = beside(own, [self.catalogue[entry] for entry in rows], preset)
        return "none" if other is None else other.entry_id

    def beside_metrics(self, wildcards: Any) -> list[str]:
        """Return the metrics of the first run of that row; its detections are there by then."""
        other = self.beside(wildcards)
        if other == "none":
            return []
        run = self.runs(wildcards.preset, other)[0]
        return [f"results/{wildcards.preset}/{run}/metrics.json"]

    def run_files(self, wildcards: Any) -> list[str]:
        """Return what the card of one run is written from; run.json only if it can be had."""
        run = f"{wildcards.entry}{wildcards.seed}"
        record = (
            [] if wildcards.preset == "published" else _record(wildcards.preset, run, BESIDE[0])
        )
        return [f"results/{wildcards.preset}/{run}/{MEASURED[0]}", *record]

    def run_labels(self, wildcards: Any, content: str) -> dict[str, str]:
        """Return how a file of one run is listed in Snakemake's report."""
        seed = str(self.seed(wildcards)) if self.preset(wildcards).trains else "none"
        return {"preset": wildcards.preset, "seed": seed, "content": content}

    def cards(self, preset: str, entries: Iterable[str] | None = None) -> list[str]:
        """Return model card and metafile of each run of a preset, by default of all its rows."""
        own = SimpleNamespace(preset=preset)
        chosen = self.entries_of(own) if entries is None else list(entries)
        found = [path for name in CARDS for path in self.results(own, name, chosen)]
        return list(dict.fromkeys(found))  # the reason for missing weights is one file

    def all_cards(self, preset: str) -> list[str]:
        """Return the cards of the rows of a preset's long target."""
        return self.cards(preset, self.all_rows_of(SimpleNamespace(preset=preset)))

    def table_files(self, preset: str, tables: Iterable[str], folder: str = "tables") -> list[str]:
        """Return the paths of tables in every format."""
        return [
            f"results/{preset}/{folder}/{table}.{suffix}"
            for table in tables
            for suffix in TABLE_FORMATS
        ]

    def every_table(self, preset: str) -> list[str]:
        """Return the paths of every table of the catalogue, for a preset's page of all rows."""
        return self.table_files(preset, [t.slug for t in self.catalogue.tables], "all/tables")

    # Targets.

    def tables_and_metrics(self, wildcards: Any) -> list[str]:
        """Return every table, of trained or of published weights as set in the config."""
        preset = "published" if self.config["weights"] == "published" else "paper"
        own = SimpleNamespace(preset=preset)
        read = self.results(own, "metrics.json") + self.records(own, "run.json")
        return read + self.table_files(preset, self.tables_of(own))

    def everything(self, preset: str) -> list[str]:
        """Return a preset's report, all its inputs, and all other files for readers.

        They are listed here because Snakemake does not check for missing intermediate files if the
        report exists. Checkpoints and detections are not listed: a user who deletes them wants the
        disk space back, not days of training again.
        """
        own = SimpleNamespace(preset=preset)
        figures = [
            f"results/{preset}/figures/{figure}.{kind}"
            for figure in FIGURES
            for kind in FIGURE_FORMATS
        ]
        return [
            *(f"results/{preset}/report.html", f"results/{preset}/verdicts.csv"),
            f"results/{preset}/ro-crate-metadata.json",
            *self.cards(preset),
            *self.measured(own, self.entries_of(own)),
            *self.pages(own),
            *self.table_files(preset, self.tables_of(own)),
            *figures,
        ]


@cache
def _record(preset: str, run: str, name: str) -> list[str]:
    """Return the path of one record in a list; an empty list, with a message, if it is lost."""
    folder = Path("results", preset, run)
    is_measured = (folder / "metrics.json").exists()
    again = (folder / "checkpoint.pth").exists() and is_finished(Path("work", preset, run))
    if (folder / name).exists() or again or not is_measured:
        return [str(folder / name)]
    print(
        f"rankdet: {folder}/{name} is missing and cannot be restored, because "
        f"work/{preset}/{run} or the checkpoint is missing too; the report will not include it",
        file=sys.stderr,
    )
    return []
