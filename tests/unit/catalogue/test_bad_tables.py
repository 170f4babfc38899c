"""A mistake in a table is named by file, line, column and value."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from rankdet.catalogue import load_catalogue
from rankdet.errors import InputError

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.fixture
def tables(tmp_path):
    for name in ("experiments.csv", "published.csv"):
        shutil.copy(CONFIGS / name, tmp_path)
    shutil.copytree(CONFIGS / "official", tmp_path / "official")
    return tmp_path


def edit(path: Path, line: int, column: str, value: str) -> None:
    """Change one cell; ``line`` counts as an editor does, the header is line 1."""
    with path.open(newline="") as stream:
        table = list(csv.reader(stream))
    table[line - 1][table[0].index(column)] = value
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(table)


@pytest.mark.parametrize(
    ("name", "column", "value", "words"),
    [
        ("experiments.csv", "status", "sead", "'seed', 'extension' or 'control'"),
        ("experiments.csv", "dataset", "", "a value"),
        ("experiments.csv", "detections", "box", "'bbox', 'segm' or 'bbox segm'"),
        ("experiments.csv", "entry_id", "RS ATSS", "match pattern"),
        ("published.csv", "value", "412", "less than or equal to 100"),
        ("published.csv", "iou_type", "box", "'bbox' or 'segm'"),
        ("published.csv", "entry_id", "rs_ats_r50", "nearest: rs_atss_r50"),
    ],
)
def test_bad_cell(tables, name, column, value, words):
    edit(tables / name, 4, column, value)
    with pytest.raises(InputError) as error:
        load_catalogue(tables)
    message = str(error.value)
    assert f"{name}, line 4, column {column}" in message
    assert words in message
    assert repr(value) in message or value == ""


def test_doubled_entry(tables):
    edit(tables / "experiments.csv", 5, "entry_id", "alrp_ap_r101_500")
    with pytest.raises(InputError, match=r"line 5, column entry_id.*'alrp_ap_r101_500'"):
        load_catalogue(tables)


def test_one_table_has_one_slug(tables):
    edit(tables / "experiments.csv", 3, "table_slug", "another")
    with pytest.raises(InputError, match=r"line 3, column table_slug.*'alrp-ap-main'"):
        load_catalogue(tables)


def test_two_tables_do_not_share_a_slug(tables):
    edit(tables / "experiments.csv", 2, "table", "Another table")
    with pytest.raises(InputError, match=r"line 3, column table_slug: a slug that is not taken"):
        load_catalogue(tables)


def test_two_official_figures_for_one_cell(tables):
    lines = (tables / "published.csv").read_text().splitlines()
    lines.insert(3, lines[1].replace("41.2", "41.3"))
    (tables / "published.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match="line 4, column metric: one official figure"):
        load_catalogue(tables)


def test_unknown_and_missing_column(tables):
    path = tables / "published.csv"
    text = path.read_text()
    path.write_text(text.replace("entry_id,split,", "entry_id,splitt,", 1))
    with pytest.raises(InputError, match=r"line 1.*unknown column 'splitt'.*nearest: split"):
        load_catalogue(tables)
    path.write_text(text.replace("entry_id,split,", "entry_id,metric,", 1))
    with pytest.raises(InputError, match=r"each column once.*'split' 0 times"):
        load_catalogue(tables)


def test_too_many_cells(tables):
    path = tables / "published.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:6], lines[6] + ",more", *lines[7:]]) + "\n")
    with pytest.raises(InputError, match="line 7: 6 cells as in the header; got 7 cells"):
        load_catalogue(tables)


def test_torn_quote_and_missing_file(tables):
    path = tables / "published.csv"
    path.write_text(path.read_text() + 'rs_atss_r50,"')
    with pytest.raises(InputError, match="to be CSV"):
        load_catalogue(tables)
    path.unlink()
    with pytest.raises(InputError, match=r"the table published\.csv.*No such file"):
        load_catalogue(tables)


def test_committed_schemas_are_those_of_the_models():
    from rankdet.catalogue.schema import MODELS, json_schema

    for table in MODELS:
        path = CONFIGS.parent / "workflow" / "schemas" / f"{table}.schema.json"
        committed = json.loads(path.read_text())
        assert committed == json_schema(table), "run python -m rankdet.catalogue.schema"


def test_snakemake_accepts_the_tables_by_schema():
    pandas = pytest.importorskip("pandas")
    validate = pytest.importorskip("snakemake.utils").validate
    for table in ("experiments", "published"):
        frame = pandas.read_csv(CONFIGS / f"{table}.csv")
        schema = CONFIGS.parent / "workflow" / "schemas" / f"{table}.schema.json"
        validate(frame, str(schema))
        broken = frame.copy()
        broken["entry_id"] = "Not An Id"
        with pytest.raises(Exception, match="does not match"):
            validate(broken, str(schema))
