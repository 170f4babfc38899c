"""Model cards and metafiles: what they state; hubs and mmdetection's tools can read them."""

import json
import re
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from rankdet.catalogue import load_catalogue
from rankdet.catalogue.papers import PAPERS, papers_of
from rankdet.catalogue.presets import get_preset
from rankdet.cli import report as report_module  # noqa: F401 - registers the verbs
from rankdet.cli.app import app
from rankdet.errors import InputError
from rankdet.report.again import commands
from rankdet.report.cards import CARD, METAFILE, model_card, write_cards
from rankdet.report.facts import period
from rankdet.report.metafile import metafile
from rankdet.report.names import printable
from rankdet.report.results import read_results
from tests.unit.report.synthetic import write_result
from tests.unit.report.test_hostile_text import LABELS, Shown, labeled  # noqa: F401 - a fixture

ROOT = Path(__file__).parents[3]
ROW = "rs_atss_r50"
# What the Markdown of a card consists of.
TAGS = {
    *("h1", "h2", "p", "blockquote", "strong", "table", "thead", "tbody", "tr", "th", "td"),
    *("pre", "code"),
}
# As model hubs split a card.
HEAD = re.compile(r"^---\n(.*?)\n---\n(.*)$", re.DOTALL)


@pytest.fixture(scope="module")
def catalogue():
    return load_catalogue()


def run_of(catalogue, folder, preset="demo", row=ROW, **options):
    """Write a synthetic result; return its run."""
    write_result(folder / preset, row, preset, **options)
    return read_results(catalogue, folder / preset, preset)[row].first


def changed(catalogue, run, **values):
    """Return the run as it is read after a change of run.json; ... removes a key."""
    path = run.folder / "run.json"
    record = json.loads(path.read_text()) | values
    path.write_text(json.dumps({name: each for name, each in record.items() if each is not ...}))
    folder = run.folder.parents[run.place.count("/")]
    found = read_results(catalogue, folder, record["preset"])
    return found[run.entry.entry_id].first


def split(card):
    """Return metadata and Markdown of a card."""
    head, body = HEAD.match(card).groups()
    return yaml.safe_load(head), body


def test_the_metadata_are_what_a_hub_reads(catalogue, tmp_path):
    run = run_of(catalogue, tmp_path, row="rs_mask_r50", ap=0.4, masks=True)
    head, _ = split(model_card(run, catalogue, get_preset("demo")))
    assert head["license"] == "apache-2.0" and head["pipeline_tag"] == "image-segmentation"
    [model] = head["model-index"]
    assert model["name"] == "rs_mask_r50 (demo)"
    assert [each["task"]["type"] for each in model["results"]] == [
        *("object-detection", "image-segmentation")
    ]
    for result in model["results"]:
        assert result["dataset"] == {
            **{"name": "digits", "type": "digits", "split": "val"},
            "revision": "val of digits",
        }
        assert {frozenset(metric) for metric in result["metrics"]} == {
            frozenset(("type", "value", "name"))
        }
    values = {each["name"]: each["value"] for r in model["results"] for each in r["metrics"]}
    assert values["box AP"] == 40.0 and values["mask AP"] == 36.0 and values["box oLRP"] == 60.0
    assert "box APl" not in values  # not defined on this data


def test_a_hub_takes_the_card(catalogue, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    run = run_of(catalogue, tmp_path)
    data = hub.ModelCard(model_card(run, catalogue, get_preset("demo"))).data
    values = {each.metric_name: each.metric_value for each in data.eval_results}
    assert data.model_name == "rs_atss_r50 (demo)" and values["box AP"] == 40.0


def test_a_demo_is_not_the_papers_model(catalogue, tmp_path):
    run = run_of(catalogue, tmp_path)
    _, body = split(model_card(run, catalogue, get_preset("demo")))
    before = body.split("## Results")[0]
    assert "**Not the published model.**" in before and "digits set" in before
    assert "39.9" not in body and "| Metric | Measured |" in body  # the published AP of this row
    document = yaml.safe_load(metafile(run, catalogue, get_preset("demo")))
    assert "COCO" not in json.dumps(document)


def test_an_official_run_stands_beside_the_published_values(catalogue, tmp_path):
    run = run_of(catalogue, tmp_path, "paper", ap=0.391, data="coco")
    _, body = split(model_card(run, catalogue, get_preset("paper")))
    assert "Not the published model" not in body
    assert "| box AP | 39.1 | 39.9 | README kemaloksuz/RankSortLoss |" in body
    assert "trained on COCO 2017" in body
    document = yaml.safe_load(metafile(run, catalogue, get_preset("paper")))
    [model] = document["Models"]
    assert model["Results"][0]["Dataset"] == model["Metadata"]["Training Data"] == "COCO"
    assert model["Metadata"]["Epochs"] == 12


def test_a_small_set_with_the_name_of_coco_is_not_coco(catalogue, tmp_path):
    run = run_of(catalogue, tmp_path, "paper", data="coco")
    run = changed(catalogue, run, data={**run.data, "train_images": 128})
    head, body = split(model_card(run, catalogue, get_preset("paper")))
    assert head["model-index"][0]["results"][0]["dataset"]["name"] == "coco (not COCO 2017)"
    assert "**Not the published model.**" in body and "39.9" not in body
    document = yaml.safe_load(metafile(run, catalogue, get_preset("paper")))
    assert document["Models"][0]["Results"][0]["Dataset"] == "coco (not COCO 2017)"


def test_published_weights_name_no_training(catalogue, tmp_path):
    run = run_of(catalogue, tmp_path, "published", data="coco")
    weights = {"file": "official.pth", "sha256": "0" * 64, "tensors": 3}
    run = changed(catalogue, run, weights=weights, iterations=..., seconds=..., seed=...)
    _, body = split(model_card(run, catalogue, get_preset("published")))
    assert "evaluated here on COCO 2017" in body and "rankdet train" not in body
    assert f"official.pth, sha256 {'0' * 64}" in body
    document = yaml.safe_load(metafile(run, catalogue, get_preset("published")))
    assert document["Models"][0]["Metadata"] == {}


# Keys of mmdetection's own metafiles, with the types of their values.
MODEL = {"Name": str, "In Collection": str, "Config": str, "Metadata": dict, "Results": list}
METADATA = {
    **{"Training Data": str, "Training Resources": str, "Epochs": int, "Iterations": int},
    "Batch Size": int,
}


@pytest.mark.parametrize("row", [ROW, "rs_mask_r50", "rs_solov2_r34_light", "control_frcnn_r50"])
def test_the_metafile_has_the_schema_of_mmdetection(catalogue, tmp_path, row):
    run = run_of(catalogue, tmp_path, row=row, masks="segm" in catalogue[row].iou_types)
    document = yaml.safe_load(metafile(run, catalogue, get_preset("demo")))
    assert list(document) == ["Collections", "Models"]
    [collection], [model] = document["Collections"], document["Models"]
    assert collection["Name"] == model["In Collection"]
    assert set(collection) <= {"Name", "Metadata", "Paper", "README", "Code"}
    assert ("Paper" in collection) is bool(papers_of(catalogue[row]))
    assert {name: type(model[name]) for name in MODEL} == MODEL
    assert set(model) - set(MODEL) <= {"Weights"}
    for name, value in model["Metadata"].items():
        assert type(value) is METADATA[name]
    assert (ROOT / model["Config"]).is_file()
    tasks = {"Object Detection": "box AP", "Instance Segmentation": "mask AP"}
    for result in model["Results"]:
        assert set(result) == {"Task", "Dataset", "Metrics"}
        assert isinstance(result["Metrics"][tasks[result["Task"]]], float)


def test_the_schema_is_that_of_the_installed_mmdetection():
    """Every key of ours is one of theirs, with the same kind of value."""
    mmdet = pytest.importorskip("mmdet")
    theirs = {}
    for path in (Path(mmdet.__file__).parent / ".mim" / "configs").glob("*/metafile.yml"):
        document = yaml.safe_load(path.read_text())
        for model in document["Models"] if isinstance(document, dict) else []:
            for name, value in {**model, **(model.get("Metadata") or {})}.items():
                theirs.setdefault(name, set()).add(type(value))
    assert len(theirs) > 10
    for name, kind in {**MODEL, **METADATA, "Weights": str}.items():
        assert kind in theirs[name], name


def test_weights_are_named_if_they_are_there(catalogue, tmp_path):
    run = run_of(catalogue, tmp_path)
    model = yaml.safe_load(metafile(run, catalogue, get_preset("demo")))["Models"][0]
    assert "Weights" not in model
    (run.folder / "checkpoint.pth").write_bytes(b"weights")
    model = yaml.safe_load(metafile(run, catalogue, get_preset("demo")))["Models"][0]
    assert model["Weights"] == "checkpoint.pth"


def test_a_run_without_a_record_has_a_card(catalogue, tmp_path):
    run = run_of(catalogue, tmp_path)
    for name in ("run.json", "training.jsonl", "curves.json"):
        (run.folder / name).unlink()
    run = read_results(catalogue, tmp_path / "demo", "demo")[ROW].first
    head, body = split(model_card(run, catalogue, get_preset("demo")))
    assert head["model-index"][0]["results"][0]["dataset"]["name"] == "unknown"
    assert "| box AP | 40.0 |" in body and "data/prepared/digits/dataset.json" in body
    assert yaml.safe_load(metafile(run, catalogue, get_preset("demo")))["Models"]


@pytest.mark.parametrize(
    ("sessions", "expected"),
    [
        (..., None),
        ([], None),
        ("x", None),
        ([{"started": "yesterday", "seconds": 1}], None),
        ([{"started": "2026-01-31T23:59:00Z", "seconds": 1e300}], None),
        (
            [{"started": "2026-01-31T23:59:00Z", "seconds": 90.4}],
            ("2026-01-31T23:59:00+00:00", "2026-02-01T00:00:30+00:00"),
        ),
        (
            [
                {"started": "2026-01-31T10:00:00Z", "seconds": 60},
                {"started": "2026-02-02T11:00:00+02:00", "seconds": 60},
            ],
            ("2026-01-31T10:00:00+00:00", "2026-02-02T09:01:00+00:00"),
        ),
    ],
)
def test_the_time_of_a_training(catalogue, tmp_path, sessions, expected):
    run = changed(catalogue, run_of(catalogue, tmp_path), sessions=sessions)
    assert period(run) == expected


def test_the_command_is_that_of_the_run(catalogue, tmp_path):
    run = run_of(catalogue, tmp_path, seed=3, several=True)
    preset = get_preset("demo")
    command = " ".join(commands(run, preset)[0].replace("\\\n", " ").split())
    assert "--data data/prepared/digits/dataset.json " in command
    assert "--out results/demo/rs_atss_r50/seed-3/checkpoint.pth" in command
    assert command.endswith("--seed 3 --iterations 100")
    assert commands(run, preset)[0].replace("\n", "\n    ") in model_card(run, catalogue, preset)
    run = changed(catalogue, run, iterations=preset.iterations, processes=2, passes=4, threads=3)
    command = " ".join(commands(run, preset)[0].split())
    assert "--iterations" not in command
    assert "--processes 2 --passes 4 --threads 3" in command.replace("\\ ", "")
    card = model_card(run, catalogue, preset)
    assert "--processes 2" in card and "--passes 4" in card


def test_the_command_of_a_study_has_its_learning_rate_and_data(catalogue, tmp_path):
    preset = get_preset("imbalance-10")
    write_result(tmp_path / preset.name, "study_atss_focal", preset.name, seed=1, several=True)
    run = read_results(catalogue, tmp_path / preset.name, preset.name, ["study_atss_focal"])
    run = run["study_atss_focal"].first
    config = {"optim_wrapper": {"optimizer": {"lr": 0.016}}}
    data = {**run.data, "name": "digits-lvis"}
    path = run.folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"config": config, "data": data}))
    found = read_results(catalogue, tmp_path / preset.name, preset.name, ["study_atss_focal"])
    command = commands(found["study_atss_focal"].first, preset)[0]
    assert "--data data/prepared/imbalance-10/dataset.json" in command
    assert "--learning-rate 0.016" in command


@pytest.mark.parametrize("label", LABELS)
def test_names_from_outside_are_text(labeled, tmp_path, label):  # noqa: F811
    catalogue = labeled(label)
    run = run_of(catalogue, tmp_path)
    data = {**run.data, "name": label}
    run = changed(catalogue, run, data=data, machine={"cpu": label}, versions={label: label})
    preset = get_preset("demo")
    head, body = split(model_card(run, catalogue, preset))
    assert head["model-index"][0]["results"][0]["dataset"]["name"] == printable(label)
    page = Shown()
    page.feed(MarkdownIt("commonmark").enable("table").render(body))
    assert page.tags == TAGS and printable(label)[:30] in page.text
    expected = label if label == "_hidden" else "DATA"
    assert f"data/prepared/{expected}/dataset.json" in body
    document = yaml.safe_load(metafile(run, catalogue, preset))
    assert len(document["Models"]) == 1


def call(*arguments):
    result = CliRunner().invoke(app, ["report", "cards", *map(str, arguments)])
    if isinstance(result.exception, InputError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_each_run_has_its_own_files(tmp_path):
    folder = tmp_path / "demo"
    for seed in (0, 1):
        write_result(folder, ROW, "demo", 0.4 + seed / 100, seed=seed, several=True)
    write_result(folder, "control_atss_r50", "demo")
    call("--preset", "demo", "--results", folder, "--run", f"{ROW}/seed-1")
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob(CARD))
    assert found == [f"{ROW}/seed-1/{CARD}"]
    assert "3 runs" in call("--preset", "demo", "--results", folder)
    assert len(list(folder.rglob(CARD))) == len(list(folder.rglob(METAFILE))) == 3
    texts = [(folder / ROW / f"seed-{seed}" / CARD).read_text() for seed in (0, 1)]
    assert "| box AP | 40.0 |" in texts[0] and "| box AP | 41.0 |" in texts[1]
    before = {path: path.read_bytes() for path in folder.rglob("m*.*")}
    call("--preset", "demo", "--results", folder)
    assert before == {path: path.read_bytes() for path in folder.rglob("m*.*")}


def test_a_run_that_is_not_there_is_named(catalogue, tmp_path):
    write_result(tmp_path / "demo", ROW, "demo", seed=1, several=True)
    with pytest.raises(InputError, match=r"rs_atss_r50/seed-2.*nearest: rs_atss_r50/seed-1"):
        call("--preset", "demo", "--results", tmp_path / "demo", "--run", f"{ROW}/seed-2")
    assert not list(tmp_path.rglob(CARD))


def test_a_damaged_run_leaves_no_half_of_the_cards(catalogue, tmp_path):
    write_result(tmp_path / "demo", ROW, "demo")
    place = write_result(tmp_path / "demo", "rs_frcnn_r50", "demo")
    (place / "run.json").write_text('{"seed": [1]}')
    with pytest.raises(InputError, match="seed"):
        call("--preset", "demo", "--results", tmp_path / "demo")
    assert write_cards({}, catalogue, get_preset("demo")) == []
    assert not list(tmp_path.rglob(CARD))


def test_every_loss_of_a_paper_has_its_paper(catalogue):
    for entry in catalogue:
        names = [paper.losses for paper in papers_of(entry)]
        if entry.loss_cls in ("AP", "aLRP", "RS", "PAP", "BAP", "BRS"):
            assert entry.loss_cls in names[0]
        assert bool(names) is (entry.status != "control")


def test_the_papers_are_those_of_the_citation_file():
    document = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    listed = [
        (
            reference["title"],
            f"{reference['conference']['name']} {reference['year']}",
            [f"{each['given-names']} {each['family-names']}" for each in reference["authors"]],
            reference["url"],
        )
        for reference in document["references"]
    ]
    assert listed == [(p.title, p.venue, list(p.authors), p.url) for p in PAPERS]
    for paper in PAPERS:
        assert re.fullmatch(r"@inproceedings\{\w+,\n(  \w+ = \{.+\},\n)+\}", paper.bibtex)
