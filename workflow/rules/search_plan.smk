# What the rules of a search ask of its plan in configs/searches.yaml.
from rankdet.search.plan import load_plans

SEARCHES = load_plans("configs")


wildcard_constraints:
    search=SAFE_NAME,
    round=r"[0-9]{3}",
    sample=r"[0-9]+",


def search_of(wildcards):
    """Return the plan of a search; an unknown one is answered with the known ones."""
    if wildcards.search not in SEARCHES:
        hint = nearest(wildcards.search, SEARCHES)
        raise InputError("a search of configs/searches.yaml", repr(wildcards.search), hint)
    return SEARCHES[wildcards.search]


def previous_round(wildcards):
    """Return the folder of the round before."""
    return f"results/search/{wildcards.search}/round-{int(wildcards.round) - 1:03d}"


def samples_of(wildcards, folder):
    """Return the samples of one round."""
    return [f"{folder}/sample-{index}.json" for index in range(search_of(wildcards).samples)]


def rounds_of(wildcards):
    """Return all samples and all states of a search, the final one included."""
    turns = [
        f"results/search/{wildcards.search}/round-{turn:03d}"
        for turn in range(search_of(wildcards).rounds + 1)
    ]
    samples = [path for turn in turns[:-1] for path in samples_of(wildcards, turn)]
    return [*samples, *(f"{turn}/state.json" for turn in turns)]


def search_files(search):
    """Return what a search found and its report, in every format."""
    folder = f"results/search/{search}"
    return [f"{folder}/found.json", f"{folder}/found.py"] + [
        f"{folder}/search.{suffix}" for suffix in ("svg", "png", "md", "csv", "html")
    ]
