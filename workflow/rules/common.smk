# What the rules ask of the catalogue. Reading it here checks both tables before any job is planned.
import os
import shlex
import sys
from functools import cache
from types import SimpleNamespace

from rankdet.catalogue import config_files, config_identity, load_catalogue, table_identity
from rankdet.cluster import snakemakes
from rankdet.errors import InputError, nearest
from rankdet.training.records import BESIDE, is_finished

# Jobs on a cluster read this file too; they belong to the Snakemake that submitted them.
if workflow.is_main_process:
    snakemakes.begin(os.getcwd())

# The workflow's own configs, also for the commands that the rules call.
CATALOGUE = load_catalogue("configs")
EXPORTS = {"RANKDET_CONFIGS": os.path.abspath("configs")}
if config["mirrors"]:
    EXPORTS["RANKDET_MIRRORS"] = " ".join(config["mirrors"])
exports = "".join(f"export {name}={shlex.quote(text)}; " for name, text in EXPORTS.items())
shell.prefix(exports.replace("{", "{{").replace("}", "}}"))  # Snakemake formats it
for settings in config["presets"].values():
    for entry in settings.get("entries", []) + settings.get("more_entries", []):
        CATALOGUE[entry]
FIGURES = ["ap", "olrp", "training", "precision_recall", "lrp"]
MEASURED = ["metrics.json", "curves.json"]  # of each row, by its evaluation
TABLE_FORMATS = ["html", "md", "csv", "tex"]


# What a wildcard may be before it is looked up: it becomes a part of paths and of commands.
SAFE_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"


wildcard_constraints:
    preset=SAFE_NAME,
    entry=SAFE_NAME,
    table=SAFE_NAME,
    group=SAFE_NAME,
    file=SAFE_NAME,
    like="coco|lvis|cityscapes",


def preset_of(wildcards):
    """Return the preset's settings; an unknown preset is answered with the known ones."""
    presets = config["presets"]
    if wildcards.preset not in presets:
        known = ", ".join(presets)
        hint = nearest(wildcards.preset, presets)
        raise InputError(f"a preset ({known})", repr(wildcards.preset), hint)
    return presets[wildcards.preset]


def dataset(wildcards):
    """Return the prepared data set of the preset; LVIS and Cityscapes rows may have their own."""
    preset = preset_of(wildcards)
    own = preset.get("own_data", {}).get(CATALOGUE[wildcards.entry].dataset)
    return f"data/prepared/{own or preset['data']}/dataset.json"


def length_of(wildcards):
    """Return the option that sets the iterations of a short preset, where the config says so."""
    count = preset_of(wildcards).get("iterations")
    return f"--iterations {count}" if count else ""


def entry_config(wildcards):
    """Return the entry's config files. That they are there counts; `settings_of` reads them."""
    return [str(path) for path in config_files(CATALOGUE[wildcards.entry])]


def settings_of(wildcards):
    """Return a hash of what the entry's config says: another one trains again."""
    return config_identity(CATALOGUE[wildcards.entry])


def content_of(wildcards):
    """Return a hash of what the catalogue says of a table's rows; without a table, of all."""
    table = getattr(wildcards, "table", None)
    return table_identity(CATALOGUE, CATALOGUE.table(table).entries if table else None)


def runnable(entries):
    """Return the ids of those entries that have a config here."""
    return [entry.entry_id for entry in entries if entry.config_path.exists()]


def entries_of(wildcards):
    """Return the entries that a preset runs: those it lists, else all that have a config."""
    return preset_of(wildcards).get("entries") or runnable(CATALOGUE)


def all_rows_of(wildcards):
    """Return the entries of a preset's long target: its own and those listed as more."""
    return [*entries_of(wildcards), *preset_of(wildcards).get("more_entries", [])]


def table_entries(wildcards):
    """Return the entries of one table that the preset runs; all runnable ones if it lists none."""
    own = runnable(CATALOGUE.table(wildcards.table).entries)
    listed = [entry for entry in own if entry in entries_of(wildcards)]
    return listed or own


def tables_of(wildcards):
    """Return the slugs of the tables that have at least one entry of the preset."""
    chosen = set(entries_of(wildcards))
    return [
        table.slug
        for table in CATALOGUE.tables
        if chosen & {entry.entry_id for entry in table.entries}
    ]


def iou_options(wildcards):
    """Return which evaluations an entry's table has: boxes and masks, as far as it trains them."""
    return " ".join(f"--iou-type {kind}" for kind in CATALOGUE[wildcards.entry].iou_types)


def artefacts(wildcards, name, entries=None):
    """Return the file ``name`` of each entry, by default of all that the preset runs.

    Of published weights that are missing it is the file that says why.
    """
    group = getattr(wildcards, "table", "all")
    entries = entries_of(wildcards) if entries is None else entries
    there = published_models(group) if wildcards.preset == "published" else entries
    return [
        f"results/{wildcards.preset}/{entry}/{name if entry in there else 'weights.json'}"
        for entry in entries
    ]


def records(wildcards, name, entries=None):
    """Return run.json or training.jsonl, by ``name``, of each entry that has it or can get it.

    A missing one is taken from the training's work directory. Where that is gone, the row stays
    without it: to train again for a record that the results do not need would be a bad bargain.
    """
    if wildcards.preset == "published":
        return []
    entries = entries_of(wildcards) if entries is None else entries
    return [path for entry in entries for path in record(wildcards.preset, entry, name)]


@cache
def record(preset, entry, name):
    """Return the path of one record in a list, or an empty one."""
    folder = f"results/{preset}/{entry}"
    there = {each: os.path.exists(f"{folder}/{each}") for each in (name, "metrics.json")}
    again = os.path.exists(f"{folder}/checkpoint.pth") and is_finished(f"work/{preset}/{entry}")
    if there[name] or again or not there["metrics.json"]:
        return [f"{folder}/{name}"]
    print(
        f"rankdet: {folder}/{name} is missing, and work/{preset}/{entry} or the checkpoint too: "
        "the report goes without it",
        file=sys.stderr,
    )
    return []


def measured(wildcards, entries):
    """Return all that figures and pages are made of."""
    return [
        *(path for name in MEASURED for path in artefacts(wildcards, name, entries)),
        *(path for name in BESIDE for path in records(wildcards, name, entries)),
    ]


def table_files(preset, tables, folder="tables"):
    """Return the paths of tables in every format."""
    return expand(
        "results/{preset}/{folder}/{table}.{suffix}",
        preset=preset,
        folder=folder,
        table=tables,
        suffix=TABLE_FORMATS,
    )


def tables_and_metrics(wildcards):
    """Return every table of trained or of published weights, as the config has it."""
    preset = "published" if config["weights"] == "published" else "paper"
    own = SimpleNamespace(preset=preset)
    read = artefacts(own, "metrics.json") + records(own, "run.json")
    return read + table_files(preset, tables_of(own))


def everything(preset):
    """Return a preset's report and all that it is made from and people read.

    All of it stands here, because Snakemake does not look for a missing intermediate file behind a
    report that exists. Checkpoints and detections do not: who deletes these wants their disk back,
    and not days of training again.
    """
    wildcards = SimpleNamespace(preset=preset)
    read = measured(wildcards, entries_of(wildcards))
    read += table_files(preset, tables_of(wildcards))
    read += expand(
        f"results/{preset}/figures/{{figure}}.{{kind}}", figure=FIGURES, kind=["svg", "png"]
    )
    return [f"results/{preset}/report.html", *read]
