"""Hashes of content: what a reader cannot see in a result does not change them, the rest does."""

import csv
import os
import shutil
from pathlib import Path

import pytest

from rankdet.catalogue import config_identity, load_catalogue, table_identity

CONFIGS = Path(__file__).parents[3] / "configs"
ENTRY = "rs_atss_r50"


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(CONFIGS, tmp_path / "configs"))


def identity(folder, entry=ENTRY):
    return config_identity(load_catalogue(folder)[entry])


def edited(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_layout_comments_and_times_do_not_count(folder):
    before = identity(folder)
    path = folder / "rank_sort" / f"{ENTRY}.py"
    edited(path, "model = dict(", '"""What it is."""\n\n# a comment\nmodel   =  dict(  # another\n')
    edited(path, '"RankSortLoss"', "'RankSortLoss'")
    for each in folder.rglob("*.py"):
        os.utime(each, (1, 1))
    assert identity(folder) == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (f"rank_sort/{ENTRY}.py", "lr=0.008", "lr=0.009"),
        (f"rank_sort/{ENTRY}.py", "min_bbox_size=-1", "min_bbox_size=0"),
        ("_base_/runtime.py", "allow_failed_imports=False", "allow_failed_imports=True"),
    ],
)
def test_every_setting_counts_also_of_a_base(folder, name, old, new):
    before, other = identity(folder), identity(folder, "control_frcnn_r50")
    edited(folder / name, old, new)
    assert identity(folder) != before
    assert (identity(folder, "control_frcnn_r50") != other) == name.startswith("_base_")


def test_no_two_configs_are_the_same():
    found = [e for e in load_catalogue(CONFIGS) if e.config_path.is_file()]
    assert len({config_identity(entry) for entry in found}) == len(found) > 70


def changed_cell(path, matching, column, value):
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    chosen = [row for row in rows if all(row[key] == text for key, text in matching.items())]
    assert chosen
    for row in chosen:
        row[column] = value
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def identities(folder):
    catalogue = load_catalogue(folder)
    return {table.slug: table_identity(catalogue, table.entries) for table in catalogue.tables}


@pytest.mark.parametrize(
    ("name", "matching", "column", "value"),
    [
        ("experiments.csv", {"entry_id": ENTRY}, "row_label", "A new label"),
        ("experiments.csv", {"entry_id": ENTRY}, "detector", "Another"),
        ("published.csv", {"entry_id": ENTRY, "metric": "AP"}, "value", "11.1"),
    ],
)
def test_a_label_or_a_figure_changes_its_table_alone(folder, name, matching, column, value):
    before, every = identities(folder), table_identity(load_catalogue(folder))
    changed_cell(folder / name, matching, column, value)
    after = identities(folder)
    assert {slug for slug in before if after[slug] != before[slug]} == {"rank-sort-one-stage"}
    assert table_identity(load_catalogue(folder)) != every
