"""Paths and parameters of jobs, by their wildcards; no Snakemake is needed."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from rankdet.catalogue import load_catalogue
from rankdet.catalogue.presets import PRESETS
from rankdet.errors import InputError
from rankdet.search.plan import load_plans
from rankdet.workflow.inputs import Inputs, Searches

CONFIG = {
    "coco": "data/coco",
    "lvis": "/mine/lvis",
    "mini": "/mine/mini",
    "cityscapes": "data/cityscapes",
    "weights": "trained",
    "presets": {},
}
ROW = "rs_atss_r50"
MAKEFILE = (Path(__file__).parents[3] / "Makefile").read_text()


@pytest.fixture(scope="module")
def catalogue():
    return load_catalogue()


@pytest.fixture
def inputs(catalogue, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Inputs(CONFIG, catalogue, lambda group: f"models/{group}.json")


def of(**wildcards):
    return SimpleNamespace(**wildcards)


@pytest.mark.parametrize(
    ("preset", "entry", "name"),
    [
        ("paper", ROW, "coco"),
        ("paper", "rs_mask_r50_lvis", "lvis"),
        ("rehearsal", "ext_br_brs_mask_r50_city", "drawn-cityscapes"),
        ("demo", "rs_mask_r50_lvis", "digits-lvis"),
        ("smoke", "rs_mask_r50_lvis", "digits-tiny"),
        ("mini", ROW, "mini"),
        ("overfit", ROW, "mini-overfit"),
    ],
)
def test_the_data_set_of_a_row(inputs, preset, entry, name):
    found = inputs.dataset(of(preset=preset, entry=entry))
    assert found == f"data/prepared/{name}/dataset.json"


def test_a_site_changes_presets(catalogue):
    changes = {
        "mini": {"threads": 5, "gpu": 1, "iterations": 9, "entries": [ROW], "data": "digits"}
    }
    inputs = Inputs(CONFIG | {"presets": changes}, catalogue, str)
    mini = inputs.preset(of(preset="mini"))
    assert (mini.threads, mini.gpu, mini.iterations, mini.data) == (5, 1, 9, "digits")
    assert inputs.entries_of(of(preset="mini")) == [ROW]
    assert inputs.length(of(preset="mini")) == "--iterations 9"
    assert inputs.length(of(preset="demo")) == ""
    assert inputs.preset(of(preset="paper")) == PRESETS["paper"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mimi": {}}, "expected a preset: one of paper.*'mimi'.*mini"),
        ({"paper": {"iterations": 5}}, "keeps the entry's epochs"),
        ({"mini": {"entries": ["rs_atss_r5"]}}, "rs_atss_r50"),
        ({"demo": {"more_entries": ["nothing"]}}, "'nothing'"),
    ],
)
def test_a_wrong_change_is_refused_before_any_job(catalogue, changes, words):
    with pytest.raises(InputError, match=words):
        Inputs(CONFIG | {"presets": changes}, catalogue, str)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda i: i.dataset(of(preset="papr", entry=ROW)), "'papr'; nearest: paper"),
        (lambda i: i.dataset(of(preset="paper", entry="rs_atss_r5")), "'rs_atss_r5'"),
        (lambda i: i.table_entries(of(preset="paper", table="controls")), "'controls'"),
        (lambda i: i.known_backbone(of(file="resnet5")), "'resnet5.pth'"),
    ],
)
def test_an_unknown_wildcard_is_answered_with_the_known_names(inputs, ask, words):
    with pytest.raises(InputError, match=words):
        ask(inputs)


def test_only_a_folder_of_the_users_own_is_an_input(inputs, tmp_path):
    inputs.config = CONFIG | {"mini": str(tmp_path / "mine")}
    assert inputs.fetched(of(name="coco")) == ["data/downloads/coco.sha256"]
    assert inputs.own_annotations(of(name="coco")) == []
    assert inputs.fetched(of(name="mini-overfit")) == inputs.fetched_lvis(of()) == []
    assert inputs.own_annotations(of(name="mini-overfit")) == []  # `prepare` says what it lacks
    files = [
        tmp_path / f"mine/annotations/instances_{split}2017.json" for split in ("train", "val")
    ]
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"images": []}')
        (tmp_path / "mine" / path.stem.removeprefix("instances_")).mkdir()
    assert inputs.own_annotations(of(name="mini-overfit")) == [str(path) for path in files]


def test_only_the_official_run_starts_from_fetched_weights(inputs):
    assert inputs.start_weights(of(preset="demo", entry=ROW)) == []
    (found,) = inputs.start_weights(of(preset="paper", entry=ROW))
    assert found.startswith("data/backbones/resnet50") and found.endswith(".pth")


def test_the_rows_of_a_table_are_those_that_the_preset_runs(inputs):
    one_stage = inputs.table_entries(of(preset="demo", table="rank-sort-one-stage"))
    assert one_stage == ["rs_atss_r50"]
    assert len(inputs.table_entries(of(preset="smoke", table="rank-sort-one-stage"))) > 1
    assert "rank-sort-one-stage" in inputs.tables_of(of(preset="demo"))
    assert inputs.all_rows_of(of(preset="demo")) == [
        *PRESETS["demo"].entries,
        *PRESETS["demo"].more_entries,
    ]


def test_make_demo_starts_with_one_of_its_rows():
    [first] = re.findall(r"^DEMO_FIRST := results/demo/(\S+)/checkpoint.pth$", MAKEFILE, re.M)
    assert first in PRESETS["demo"].entries


def test_missing_published_models_are_replaced_by_their_reason(inputs, tmp_path):
    models, status = tmp_path / "models", tmp_path / f"results/published/{ROW}/weights.json"
    models.mkdir()
    status.parent.mkdir(parents=True)
    there = {"available": [{"entry": "rs_paa_r50", "file": "data/inbox/rs_paa_r50.pth"}]}
    for group in ("all", ROW, "rs_paa_r50"):
        (models / f"{group}.json").write_text(json.dumps(there))
    status.write_text(json.dumps({"reason": "no address"}))
    own = of(preset="published")
    assert inputs.results(own, "metrics.json", [ROW, "rs_paa_r50"]) == [
        f"results/published/{ROW}/weights.json",
        "results/published/rs_paa_r50/metrics.json",
    ]
    assert inputs.records(own, "run.json", [ROW]) == []
    assert inputs.official_model(of(entry="rs_paa_r50")) == "data/inbox/rs_paa_r50.pth"
    with pytest.raises(InputError, match="no address"):
        inputs.official_model(of(entry=ROW))
    assert inputs.from_inbox(of(entry=ROW)) == []
    (tmp_path / "data/inbox").mkdir(parents=True)
    (tmp_path / f"data/inbox/{ROW}.pth").touch()
    assert inputs.from_inbox(of(entry=ROW)) == [f"data/inbox/{ROW}.pth"]


def test_a_preset_is_everything_that_people_read(inputs):
    found = inputs.everything("demo")
    assert len(found) == len(set(found))
    assert {path.split("/")[2] for path in found} == {
        *("report.html", "verdicts.csv", "tables", "figures", "ro-crate-metadata.json"),
        *PRESETS["demo"].entries,
    }
    assert not [path for path in found if path.endswith(("checkpoint.pth", "detections.json"))]


def test_each_run_has_a_card(inputs, catalogue):
    preset = {"seeds": [0, 1], "entries": [ROW]}
    own = Inputs(CONFIG | {"presets": {"demo": preset}}, catalogue, str)
    assert own.cards("demo") == [
        f"results/demo/{ROW}/seed-{seed}/{name}"
        for name in ("model-card.md", "metafile.yml")
        for seed in (0, 1)
    ]
    long = inputs.all_cards("demo")
    assert set(inputs.cards("demo")) < set(long)
    assert len(long) == 2 * len(inputs.all_rows_of(of(preset="demo")))
    run = of(preset="demo", entry=ROW, seed="/seed-1")
    place = f"results/demo/{ROW}/seed-1"
    assert own.run_files(run) == [f"{place}/metrics.json", f"{place}/run.json"]
    assert own.run_labels(run, "metrics") == {"preset": "demo", "seed": "1", "content": "metrics"}
    published = of(preset="published", entry=ROW, seed="")
    assert own.run_files(published) == [f"results/published/{ROW}/metrics.json"]
    assert own.run_labels(published, "metrics")["seed"] == "none"


def test_the_card_of_a_run_whose_record_is_lost_needs_only_the_metrics(inputs, tmp_path):
    metrics = tmp_path / "results" / "demo" / "rs_paa_r50" / "metrics.json"
    metrics.parent.mkdir(parents=True)
    metrics.write_text("{}")
    found = inputs.run_files(of(preset="demo", entry="rs_paa_r50", seed=""))
    assert found == ["results/demo/rs_paa_r50/metrics.json"]


def test_a_table_is_listed_under_its_paper(inputs):
    assert inputs.paper_of(of(table="rank-sort-one-stage")) == "Rank & Sort Loss (ICCV 2021)"
    one, other = (inputs.row_content(of(entry=name)) for name in (ROW, "rs_paa_r50"))
    assert one != other


def test_tables_are_of_trained_or_of_published_weights(inputs):
    found = inputs.tables_and_metrics(of())
    assert found and all(path.startswith("results/paper/") for path in found)


@pytest.mark.parametrize(
    ("preset", "entry", "other"),
    [
        ("demo", "rs_frcnn_r50", "alrp_mmdet_ce_l1_frcnn_r50_500"),  # of another table
        ("demo", "rs_atss_r50", "alrp_mmdet_ce_l1_frcnn_r50_500"),  # no other loss of its detector
        ("paper", "rs_atss_r50", "rs_paa_r50"),  # of its table, or one more would be trained
        ("paper", "rs_cascade_r50", "none"),
    ],
)
def test_the_row_beside_is_one_that_the_target_makes(inputs, preset, entry, other):
    asked = of(preset=preset, entry=entry, seed="")
    assert inputs.beside(asked) == other
    found = [] if other == "none" else [f"results/{preset}/{other}/metrics.json"]
    assert inputs.beside_metrics(asked) == found


def test_every_run_has_a_page(inputs):
    rows = inputs.entries_of(of(preset="demo"))
    assert inputs.pages(of(preset="demo")) == [f"results/demo/{row}/run.html" for row in rows]
    assert set(inputs.pages(of(preset="demo"))) <= set(inputs.everything("demo"))
    assert len(inputs.all_pages(of(preset="demo"))) > len(rows)
    own = inputs.pages(of(preset="paper", table="rank-sort-one-stage"))
    assert own == [f"results/paper/{row}/run.html" for row in ("rs_atss_r50", "rs_paa_r50")]


def test_the_rounds_of_a_search():
    plans = load_plans()
    searches, name = Searches(plans), "demo"
    plan = plans[name]
    assert searches.plan(of(search=name)) is plan
    found = searches.rounds(of(search=name))
    assert len(found) == plan.rounds * plan.samples + plan.rounds + 1
    later = of(search=name, round="002")
    assert searches.previous_state(later) == f"results/search/{name}/round-001/state.json"
    assert searches.previous_samples(later)[0] == f"results/search/{name}/round-001/sample-0.json"
    with pytest.raises(InputError, match="'demos'; nearest: demo"):
        searches.plan(of(search="demos"))


def site(catalogue, **settings):
    return Inputs(CONFIG | settings, catalogue, lambda group: f"models/{group}.json")


def write_run(root, place, seed, *, finished=True):
    """Write what a training leaves: its record, or only the settings of one under way."""
    name, content = (
        (f"results/{place}/run.json", {"seed": seed})
        if finished
        else (f"work/{place}/run_settings.json", {"settings": {"seed": seed}})
    )
    path = root / name
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (0,)),
        ({"seeds": [4]}, (4,)),
        ({"seeds": [0], "seed": 7}, (7,)),  # the former setting, on a command line
        ({"seeds": [0, 1, 2]}, (0, 1, 2)),
        ({"presets": {"demo": {"seeds": [1, 2]}}}, (1, 2)),
        ({"presets": {"paper": {"seeds": [1, 2]}}}, (0,)),
        ({"presets": {"demo": {"row_seeds": {ROW: [5, 6]}}}}, (5, 6)),
        ({"presets": {"demo": {"seeds": [1, 2], "row_seeds": {"rs_frcnn_r50": [5]}}}}, (1, 2)),
    ],
)
def test_the_seeds_of_a_row(catalogue, settings, expected):
    assert site(catalogue, **settings).seeds(of(preset="demo", entry=ROW)) == expected


def test_one_seed_keeps_the_folder_of_the_entry(catalogue, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wildcards = of(preset="demo")
    one = site(catalogue, seeds=[3]).results(wildcards, "metrics.json", [ROW])
    assert one == [f"results/demo/{ROW}/metrics.json"]
    three = site(catalogue, seeds=[0, 1, 2]).results(wildcards, "metrics.json", [ROW])
    assert three == [f"results/demo/{ROW}/seed-{n}/metrics.json" for n in range(3)]


def test_published_weights_have_no_seed(catalogue, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert site(catalogue, seeds=[0, 1]).runs("published", ROW) == [ROW]


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_stays_where_it_is_when_the_list_of_seeds_changes(
    catalogue, tmp_path, monkeypatch, finished
):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path, f"demo/{ROW}", 1, finished=finished)
    several = site(catalogue, seeds=[0, 1, 2])
    assert several.runs("demo", ROW) == [f"{ROW}/seed-0", ROW, f"{ROW}/seed-2"]
    assert several.seed(of(preset="demo", entry=ROW, seed="")) == 1
    # And back to one.
    write_run(tmp_path, f"demo/{ROW}/seed-2", 2, finished=finished)
    assert site(catalogue, seeds=[2]).runs("demo", ROW) == [f"{ROW}/seed-2"]
    assert site(catalogue, seeds=[1]).runs("demo", ROW) == [ROW]


def test_a_new_single_seed_takes_the_place_of_the_former_one(catalogue, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path, f"demo/{ROW}", 0)
    other = site(catalogue, seeds=[5])
    assert other.runs("demo", ROW) == [ROW]
    assert other.seed(of(preset="demo", entry=ROW, seed="")) == 5


def test_the_seed_of_a_run_is_that_of_its_folder(inputs):
    assert inputs.seed(of(preset="demo", entry=ROW, seed="/seed-12")) == 12
    with pytest.raises(InputError, match="a seed from 0 to 4294967295; got seed-9999999999"):
        inputs.seed(of(preset="demo", entry=ROW, seed="/seed-9999999999"))


def test_a_record_that_cannot_be_read_is_no_run(catalogue, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "results/demo" / ROW / "run.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    assert site(catalogue, seeds=[0, 1]).runs("demo", ROW) == [f"{ROW}/seed-0", f"{ROW}/seed-1"]


def test_a_lost_record_of_a_seed_is_left_out(catalogue, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "results/demo" / ROW / "seed-0"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text("{}")
    found = site(catalogue, seeds=[0, 1]).records(of(preset="demo"), "run.json", [ROW])
    assert found == [f"results/demo/{ROW}/seed-1/run.json"]
    assert f"results/demo/{ROW}/seed-0/run.json is missing" in capsys.readouterr().err
