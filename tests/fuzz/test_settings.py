"""Settings and tables with a few places changed: read, or refused in one line."""

import copy
import csv
import io
import shutil

import pytest
import yaml
from hypothesis import strategies as st

from rankdet.catalogue import load_catalogue, stated_deviations
from rankdet.catalogue.settings_files import check_settings
from rankdet.catalogue.state import recorded_rehearsals
from rankdet.downloads.table import load_downloads, published_model
from rankdet.paths import configs_dir
from rankdet.search.plan import load_plans
from rankdet.workflow.resources import check_rows, resources
from tests.fuzz.bounded import counts, fuzz

CONFIGS = configs_dir()
SCHEMAS = CONFIGS.parent / "workflow" / "schemas"
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**400),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["", "-x", "$(x)", "a\nb", "../..", "nan", "1.0", "\x00", "é", "😀" * 300]),
    st.recursive(st.none() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(
        st.text(max_size=3), inner, max_size=3), max_leaves=20),
    st.builds(lambda: [[[[[[[[[1]]]]]]]]]),
)  # fmt: skip


def change(draw, value):
    """Replace, remove or add at one random place of nested dictionaries and lists."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = draw(st.sampled_from(keys))
        if isinstance(value[key], dict | list) and value[key] and draw(st.integers(0, 3)):
            value = value[key]
            continue
        action = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
        if action == "remove":
            del value[key]
        elif action == "add" and isinstance(value, dict):
            value[draw(st.one_of(st.text(max_size=8), st.integers(), st.just(key)))] = draw(ODD)
        else:
            value[key] = draw(ODD)
        return


@st.composite
def changed(draw, document):
    document = copy.deepcopy(document)
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 3]))):
        change(draw, document)
    return document


def settings_of(*names):
    return {
        key: value
        for name in names
        for key, value in yaml.safe_load((CONFIGS / f"{name}.yaml").read_text()).items()
    }


@st.composite
def changed_text(draw, text):
    """Return a file whose bytes are changed in a few places, most often in none."""
    data = bytearray(text.encode())
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        place = draw(st.integers(0, len(data)))
        data[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
    return bytes(data)


@counts
def test_searches(tmp_path, count):
    for name in ("experiments.csv", "published.csv"):
        shutil.copy(CONFIGS / name, tmp_path)
    shutil.copytree(CONFIGS / "official", tmp_path / "official")
    path = tmp_path / "searches.yaml"
    plans = settings_of("searches")
    written = changed(plans).map(lambda each: yaml.safe_dump(each, allow_unicode=True))

    def read(data):
        path.write_bytes(data)
        for plan in load_plans(tmp_path).values():
            assert "\n" not in plan.training_options

    tried = fuzz(count, written.flatmap(changed_text), read)
    assert min(tried) >= count // 100, tried


SITE = {
    "rules": {"train": {"gpu": 4, "nodes": 2, "mem_mb": 9000}, "evaluate": {"partition": "long"}},
    "rows": {"paper/rs_atss_r50": {"train": {"gpu": 2, "account": "lab", "runtime": 600}}},
}


@counts
def test_pipeline_and_cluster(count):
    document = settings_of("pipeline", "cluster")
    document["cluster"] |= SITE
    document["mirrors"] = ["https://example.org/a"]

    def read(settings):
        check_settings(settings, SCHEMAS / "pipeline.schema.yaml", "pipeline.yaml")
        cluster = settings["cluster"]
        check_settings(cluster, SCHEMAS / "cluster.schema.yaml", "cluster.yaml")
        check_rows(cluster, ["paper"], ["rs_atss_r50"])
        default = {"mem_mb": 8000, "runtime": 60, "gpu": 1}
        assert resources(cluster, "train", "paper/rs_atss_r50", default)["mem_mb"] >= 1

    tried = fuzz(count, changed(document), read)
    assert min(tried) >= count // 100, tried


CELLS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["", "\x00", '"', "a\nb", "1e999", "nan", "-1", "9" * 5000, "{" * 3000]),
    st.sampled_from(["[" * 100_000, "x" * 200_000, "\ud800", "=1", "'", "é", "😀", "inf", " "]),
)


@st.composite
def changed_table(draw, rows):
    """Return a CSV file with a few cells, rows or columns changed, sometimes a few bytes."""
    rows = [list(row) for row in rows]
    for _ in range(draw(st.sampled_from([0, 1, 1, 2]))):
        row = rows[draw(st.integers(0, len(rows) - 1))]
        action = draw(st.sampled_from(["cell", "cell", "cell", "add", "remove", "double"]))
        if action == "double":
            rows.append(row)
        elif action == "add":
            row.append(draw(CELLS))
        elif row:
            place = draw(st.integers(0, len(row) - 1))
            if action == "cell":
                row[place] = draw(CELLS)
            else:
                del row[place]
    stream = io.StringIO()
    csv.writer(stream, lineterminator=draw(st.sampled_from(["\n", "\r\n"]))).writerows(rows)
    text = stream.getvalue().encode("utf-8", errors="surrogatepass")
    data = bytearray(text)
    for _ in range(draw(st.sampled_from([0, 0, 1]))):
        place = draw(st.integers(0, len(data)))
        data[place : place + 2] = draw(st.binary(max_size=4))
    return draw(st.sampled_from([b"", b"", b"", b"\xef\xbb\xbf"])) + bytes(data)


def first_rows(name, count=6):
    with (CONFIGS / name).open(newline="") as stream:
        return list(csv.reader(stream))[:count]


def write_official(folder, entries):
    """Write the documents of ``entries``, all of one family; return the document."""
    document = yaml.safe_load((CONFIGS / "official" / "alrp_ap.yaml").read_text())
    document["entries"] = {name: document["entries"][name] for name in entries}
    (folder / "official").mkdir()
    (folder / "official" / "alrp_ap.yaml").write_text(yaml.safe_dump(document))
    return document


@counts
def test_official_settings(tmp_path, count):
    rows = first_rows("experiments.csv", 4)
    header = (CONFIGS / "published.csv").read_text().splitlines()[0]
    (tmp_path / "published.csv").write_text(header + "\n")
    with (tmp_path / "experiments.csv").open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)
    document = write_official(tmp_path, [row[0] for row in rows[1:]])
    path = tmp_path / "official" / "alrp_ap.yaml"
    written = changed(document).map(lambda each: yaml.safe_dump(each, allow_unicode=True))

    def read(data):
        path.write_bytes(data)
        for entry in load_catalogue(tmp_path):
            assert entry.official.epochs != 0 and entry.official.total_batch != 0
            assert entry.official.leaves is not None and entry.official.test_size != ()

    tried = fuzz(count, written.flatmap(changed_text), read)
    assert min(tried) >= count // 100, tried


@pytest.mark.parametrize(
    "name", ["experiments", "published", "downloads", "checkpoints", "rehearsed", "deviations"]
)
@counts
def test_tables(tmp_path, name, count):
    for table in CONFIGS.glob("*.csv"):
        rows = first_rows(table.name)
        if table.name == "published.csv":
            known = {row[0] for row in first_rows("experiments.csv")}
            with table.open(newline="") as stream:
                every = list(csv.reader(stream))
            rows = [every[0], *(row for row in every[1:] if row[0] in known)][:6]
        with (tmp_path / table.name).open("w", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows(rows)
    path = tmp_path / f"{name}.csv"
    with path.open(newline="") as stream:
        original = list(csv.reader(stream))
    write_official(tmp_path, [row[0] for row in first_rows("experiments.csv")[1:]])
    entry = load_catalogue(tmp_path)["alrp_ap_r101_500"]

    def read(data):
        path.write_bytes(data)
        if name in ("experiments", "published"):
            for each in load_catalogue(tmp_path):
                assert each.iou_types and each.official.total_batch != 0
        elif name == "downloads":
            load_downloads(tmp_path)
        elif name == "checkpoints":
            published_model(entry, tmp_path)
        elif name == "deviations":
            stated_deviations(tmp_path)
        else:
            recorded_rehearsals(path)

    tried = fuzz(count, changed_table(original), read)
    assert min(tried) >= count // 100, tried
