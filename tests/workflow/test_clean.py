"""`make clean` deletes what the workflow wrote, and nothing else."""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "envs" / "clean.py"
SPEC = importlib.util.spec_from_file_location("clean", PATH)
CLEAN = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(CLEAN)

OURS = [
    "results/demo/rs_atss_r50/checkpoint.pth",
    "results/demo/rs_atss_r50/metrics.json",
    "results/demo/tables/alrp-table-1.csv",
    "results/demo/figures/ap.svg",
    "results/demo/report.html",
    "results/demo/verdicts.csv",
    "results/demo/rs_atss_r50/run.html",
    "results/demo/rs_atss_r50/seed-2/run.html",
    "results/demo/ro-crate-metadata.json",
    "results/demo/rs_atss_r50/seed-2/model-card.md",
    "results/demo/rs_atss_r50/metafile.yml",
    "results/demo/rs_atss_r50/seed-2/metrics.json",
    "work/demo/rs_atss_r50/seed-2/finished.pth",
    "work/demo/rs_atss_r50/seed-2/predict/20260101_120000/vis_data/scalars.json",
    "results/search/paploss/round-001/sample-3.json",
    "work/demo/rs_atss_r50/iter_10.pth",
    "work/demo/rs_atss_r50/finished.pth",
    "work/demo/rs_atss_r50/old-1/run_settings.json",
    "work/demo/rs_atss_r50/rs_atss_r50.py",
    "work/demo/rs_atss_r50/schedule.json",
    "work/demo/rs_atss_r50/seed-2/trackers.json",
    "work/demo/rs_atss_r50/seed-2/tensorboard/events.out.tfevents.1.host.2.0",
    "work/demo/rs_atss_r50/old-1/tensorboard/events.out.tfevents.1.host.2.0",
    "work/demo/rs_atss_r50/20260101_120000/vis_data/scalars.json",
]
OTHERS = [
    "results/notes.md",
    "results/demo/rs_atss_r50/my-plot.png",
    "results/my-model/weights/best.pth",
    "results/reference/demo/report.html",
    "work/thesis.tex",
    "work/demo/rs_atss_r50/epoch_12_mine.pth",
    "work/demo/rs_atss_r50/tensorboard/notes.md",
    "work/demo/rs_atss_r50/wandb/offline-run-1/run.wandb",  # not synchronized yet
]


def test_only_files_of_the_workflow_go(tmp_path):
    for name in OURS + OTHERS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "results" / "link").symlink_to("/")
    kept = CLEAN.clean(tmp_path)
    left = [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()]
    assert sorted(left) == sorted(OTHERS)
    named = [name for name in OTHERS if "reference" not in name]
    assert kept == sorted([*named, "results/link"])
    assert not (tmp_path / "work" / "demo" / "rs_atss_r50" / "old-1").exists()


@pytest.mark.parametrize("name", OURS)
def test_what_is_deleted_is_deleted_completely(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text("x")
    assert CLEAN.clean(tmp_path) == []
    assert not any(
        (tmp_path / top).is_dir() and any((tmp_path / top).iterdir()) for top in ("results", "work")
    )
