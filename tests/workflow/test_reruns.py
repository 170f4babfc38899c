"""What runs again after which change: content decides, not time stamps or layout."""

import contextlib
import os
import re
from importlib.util import find_spec

import pytest
import yaml

ROW = "configs/rank_sort/rs_atss_r50.py"
BASE = "configs/_base_/runtime.py"
SHOWN = {"run_page": 1, "table": 1, "verdicts": 1, "figures": 1, "page": 1, "cards": 1, "crate": 1}
# The detections of the row are drawn in the page of the other one, too.
TRAINED = {"train": 1, "predict": 1, "evaluate": 1, **SHOWN, "run_page": 2, "table": 2}


@contextlib.contextmanager
def edited(finished, name, change):
    """Have a file with another content for a while; it keeps its time of change afterwards."""
    path = finished.folder / name
    old, status = path.read_text(), path.stat()
    new = change(old)
    assert new != old
    path.write_text(new)
    try:
        yield
    finally:
        path.write_text(old)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@contextlib.contextmanager
def moved_away(*paths):
    """Have files elsewhere for a while."""
    aside = [path.rename(path.with_name(f"{path.name}.aside")) for path in paths]
    try:
        yield
    finally:
        for path, there in zip(paths, aside, strict=True):
            if path.exists():
                path.unlink()
            there.rename(path)


def planned(finished, *options):
    plan = finished.planned("smoke", *options)
    return {name: count for name, count in plan.items() if name not in ("smoke", "total")}


def cell(line, value):
    """Return a change of one cell of a table: ``line`` ends where it begins."""
    return lambda text: re.sub(rf"^({line})[^,]*", rf"\g<1>{value}", text, count=1, flags=re.M)


def reformatted(text):
    return "# A comment.\n\n" + text.replace("dict(", "dict(  ").replace('"', "'")


def test_touched_and_reformatted_files_change_nothing(finished):
    times = {}
    for name in ("Snakefile", "workflow", "configs"):
        path = finished.folder / name
        for each in [path, *path.rglob("*")]:
            times[each] = each.stat()
            os.utime(each)
    try:
        with edited(finished, ROW, reformatted), edited(finished, BASE, reformatted):
            assert planned(finished) == {}
    finally:
        for each, status in times.items():
            os.utime(each, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("name", "change", "again"),
    [
        (ROW, lambda text: text.replace("lr=0.008", "lr=0.009"), TRAINED),
        (
            BASE,
            lambda text: text + "randomness = dict(seed=1)\n",
            TRAINED | {"train": 2, "predict": 2, "evaluate": 2, "table": 2, "cards": 2},
        ),
        (
            "configs/experiments.csv",
            lambda text: text.replace("RS-ATSS ResNet-50 / 12", "RS-ATSS short"),
            SHOWN,
        ),
        ("configs/published.csv", cell("rs_atss_r50,coco_val2017,bbox,AP,", "11.1"), SHOWN),
        # The page and the figures show the whole catalogue; this row's table is not of the preset.
        (
            "configs/published.csv",
            cell("alrp_ap_r101_500,coco_val2017,bbox,AP,", "11.1"),
            {"verdicts": 1, "figures": 1, "page": 1},
        ),
    ],
    ids=["row", "base", "label", "figure", "other figure"],
)
def test_what_a_change_makes_again(finished, name, change, again):
    with edited(finished, name, change):
        assert planned(finished) == again


@pytest.mark.parametrize("names", ["[]", "[wandb]", "[tensorboard,mlflow]"])
def test_other_trackers_train_nothing_again(finished, names):
    assert planned(finished, "--config", f"trackers={names}") == {}


def test_the_trackers_of_the_settings_reach_the_training(finished):
    """With one that is not installed, it is refused before it starts."""
    missing = [name for name in ("wandb", "mlflow") if find_spec(name) is None]
    if not missing:
        pytest.skip("both other trackers are installed")
    path = "results/smoke/alrp_mmdet_ap_retinanet_r50_500/checkpoint.pth"
    run = finished.snakemake(path, "--config", f"trackers=[{missing[0]}]", "--retries", "0")
    assert run.returncode != 0 and not (finished.folder / path).exists()
    assert f"the package {missing[0]}, which the tracker {missing[0]} needs" in run.stdout


def test_two_settings_that_change_places_are_noticed(project):
    """Snakemake compares the values of a rule's params as a set."""
    counts = {"train_images": 4, "val_images": 8}
    path = project.folder / "small.yaml"
    path.write_text(yaml.safe_dump({"digits": {"seed": 0, **counts}}))
    prepared = "data/prepared/digits/dataset.json"
    run = project.snakemake(prepared, "--configfile", str(path))
    assert run.returncode == 0, run.stdout
    assert "digits" not in project.planned("--configfile", str(path), "--", prepared)
    swapped = {"train_images": 8, "val_images": 4}
    path.write_text(yaml.safe_dump({"digits": {"seed": 0, **swapped}}))
    assert project.planned("--configfile", str(path), "--", prepared)["digits"] == 1


def test_deleted_records_come_back_without_training_or_prediction(finished):
    row = finished.folder / "results/smoke/rs_atss_r50"
    names = ("run.json", "training.jsonl")
    before, contents = finished.files(), {name: (row / name).read_bytes() for name in names}
    for name in names:
        (row / name).unlink()
    run = finished.snakemake("smoke")
    assert run.returncode == 0, run.stdout
    assert {name: (row / name).read_bytes() for name in names} == contents
    redone = {name for name, time in finished.files().items() if time != before[name]}
    heavy = ("checkpoint.pth", "detections.json", "metrics.json", "curves.json")
    assert not [name for name in redone if name.endswith(heavy)]
    assert "Nothing to be done" in finished.snakemake("smoke").stdout


def test_a_record_that_nobody_can_make_again_is_missed_and_said(finished):
    """Its work directory is gone too: to train again would be worse than to go without."""
    work = finished.folder / "work/smoke/rs_atss_r50"
    record = finished.folder / "results/smoke/rs_atss_r50/run.json"
    with moved_away(work, record):
        run = finished.snakemake("smoke", "--dry-run")
        assert planned(finished) == SHOWN
    assert "results/smoke/rs_atss_r50/run.json is missing" in run.stdout
    assert "the report will not include it" in run.stdout


def test_a_living_snakemake_is_not_disturbed_and_named(project):
    """What Snakemake itself says, and whose process it is."""
    from rankdet.workflow.snakemakes import begin

    target = "data/prepared/drawn-lvis/dataset.json"
    locks = project.folder / ".snakemake" / "locks"
    with begin(project.folder):
        locks.mkdir(parents=True, exist_ok=True)
        (locks / "0.output.lock").write_text(f"{target}\n")
        run = project.snakemake(target)
        assert run.returncode != 0 and "cannot be locked" in run.stdout, run.stdout
        assert (
            f"another Snakemake is running in this folder: process {os.getpid()} on " in run.stdout
        )
        assert (locks / "0.output.lock").exists()
    (locks / "0.output.lock").unlink()
