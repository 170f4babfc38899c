# Which files from elsewhere the rules need.
import json

from rankdet.downloads.table import backbone_of, find_backbone
from rankdet.datasets.layouts import annotation_files

FETCHED = "data/coco"  # a COCO folder with this path is fetched; any other is the user's own


def fetched(wildcards):
    """Return what stands for a fetched COCO; nothing if the user has one of their own."""
    own = wildcards.name != "coco" or config["coco"] != FETCHED
    return [] if own else ["data/downloads/coco.sha256"]


def fetched_lvis(wildcards):
    """Return what stands for fetched LVIS annotations beside fetched images."""
    names = ["lvis", "coco"] if config["lvis"] == FETCHED else []
    return [f"data/downloads/{name}.sha256" for name in names]


def own_annotations(wildcards):
    """Return the annotation files of a user's own folder: a change there prepares it again."""
    root = config[wildcards.name.removesuffix("-overfit")]
    return [] if fetched(wildcards) else annotation_files(root)


def own_lvis(wildcards):
    """Return the LVIS annotations of a user's own folder."""
    return [] if fetched_lvis(wildcards) else annotation_files(config["lvis"], "lvis")


def start_weights(wildcards):
    """Return the file that the official run of an entry starts from; other presets need none."""
    row = backbone_of(CATALOGUE[wildcards.entry]) if wildcards.preset == "paper" else None
    return [f"data/backbones/{row.file}"] if row else []


def known_backbone(wildcards):
    """Return no file; an unknown backbone is answered with the known ones."""
    find_backbone(f"{wildcards.file}.pth")
    return []


def from_inbox(wildcards):
    """Return the official model that a person got, so that it is looked at when it is there."""
    path = f"data/inbox/{CATALOGUE[wildcards.entry].entry_id}.pth"
    return [path] if os.path.exists(path) else []


def model_statuses(wildcards):
    """Return the status files of a group: the rows of a table, one row, or all."""
    if wildcards.group == "all":
        entries = entries_of(SimpleNamespace(preset="published"))
    elif wildcards.group in CATALOGUE:
        entries = [wildcards.group]
    else:
        entries = table_entries(SimpleNamespace(preset="published", table=wildcards.group))
    return [f"results/published/{entry}/weights.json" for entry in entries]


def published_models(group):
    """Return {entry: official file} of a group, as far as they are available, once it is known."""
    path = checkpoints.published_models.get(group=group).output[0]
    with open(path) as stream:
        return {model["entry"]: model["file"] for model in json.load(stream)["available"]}


def official_model(wildcards):
    """Return the official file of an entry, or say why there is none."""
    models = published_models(wildcards.entry)
    if wildcards.entry not in models:
        status = f"results/published/{wildcards.entry}/weights.json"
        with open(status) as stream:
            reason = json.load(stream)["reason"]
        raise InputError(f"a published model of {wildcards.entry}", reason, f"see {status}")
    return models[wildcards.entry]
