# What the rules ask of the catalogue. Reading it here checks both tables before any job is planned.
import os
import shlex
from types import SimpleNamespace

from rankdet.catalogue import config_files, load_catalogue
from rankdet.errors import InputError, nearest

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
    """Return the files that the entry's config is made of: a change there trains again."""
    return [str(path) for path in config_files(CATALOGUE[wildcards.entry])]


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


def tables_and_metrics(wildcards):
    """Return every table of trained or of published weights, as the config has it."""
    preset = "published" if config["weights"] == "published" else "paper"
    own = SimpleNamespace(preset=preset)
    tables = [f"results/{preset}/tables/{table}.md" for table in tables_of(own)]
    return artefacts(own, "metrics.json") + tables


def everything(preset):
    """Return a preset's report and all that it is made from and people read.

    All of it stands here, because Snakemake does not look for a missing intermediate file behind a
    report that exists. Checkpoints and detections do not: who deletes these wants their disk back,
    and not days of training again.
    """
    wildcards = SimpleNamespace(preset=preset)
    read = [path for name in ("metrics.json", "curves.json") for path in artefacts(wildcards, name)]
    read += [f"results/{preset}/tables/{table}.md" for table in tables_of(wildcards)]
    read += [f"results/{preset}/figures/{figure}.svg" for figure in FIGURES]
    return [f"results/{preset}/report.html", *read]
