"""The RO-Crate: what it states, that the library reads it, and that it is always the same."""

import json
import shutil
from urllib.parse import unquote

import pytest
from rocrate.rocrate import ROCrate
from typer.testing import CliRunner

from rankdet.catalogue import load_catalogue
from rankdet.catalogue.presets import get_preset
from rankdet.cli import report as report_module  # noqa: F401 - registers the verbs
from rankdet.cli.app import app
from rankdet.errors import InputError
from rankdet.hashing import file_sha256
from rankdet.report.crate import METADATA, PROFILE, crate_of
from rankdet.report.results import read_results
from tests.unit.report.synthetic import DEMO_ENTRIES, write_preset, write_result
from tests.unit.report.test_cards import changed
from tests.unit.report.test_hostile_text import LABELS

ROW = "rs_atss_r50"
SESSION = {"started": "2026-01-31T10:00:00Z", "seconds": 42.0, "ended": "finished"}


@pytest.fixture(scope="module")
def catalogue():
    return load_catalogue()


def content(catalogue, folder, preset="demo"):
    return crate_of(read_results(catalogue, folder, preset), catalogue, get_preset(preset), folder)


def by_id(document):
    found = {entity["@id"]: entity for entity in document["@graph"]}
    assert len(found) == len(document["@graph"])
    return found


def references(value):
    """Yield every identifier that a value refers to."""
    if isinstance(value, dict):
        yield from [value["@id"]] if set(value) == {"@id"} else []
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def of_type(document, kind):
    return [entity for entity in document["@graph"] if entity["@type"] == kind]


def listed(value):
    return value if isinstance(value, list) else [value]


@pytest.fixture
def demo(tmp_path):
    folder = write_preset(tmp_path)
    (folder / ROW / "checkpoint.pth").write_bytes(b"weights")
    (folder / ROW / "detections.json").write_text("[]")
    return folder


def test_each_run_is_a_training_and_an_evaluation(catalogue, demo):
    document = content(catalogue, demo)
    entities = by_id(document)
    root = entities["./"]
    assert root["conformsTo"] == {"@id": PROFILE} and root["license"]["@id"].endswith("Apache-2.0")
    actions = [entities[each["@id"]] for each in root["mentions"]]
    assert actions == of_type(document, "CreateAction") and len(actions) == 2 * len(DEMO_ENTRIES)
    training, evaluation = (entities[f"#{ROW}/{name}"] for name in ("training", "evaluation"))
    results = {each["@id"] for each in training["result"]}
    assert results == {f"{ROW}/{name}" for name in ("checkpoint.pth", "training.jsonl", "run.json")}
    used = {each["@id"]: entities[each["@id"]] for each in training["object"]}
    values = {each["name"]: each["value"] for each in used.values() if "value" in each}
    assert values == {"preset": "demo", "iterations": 100, "seed": 0}
    assert entities["#data-train%20of%20digits"]["description"] == "300 images, 900 annotations"
    assert used.keys() >= {f"#{ROW}", "#data-train%20of%20digits"}
    software = entities[training["instrument"]["@id"]]
    assert software["softwareVersion"] == "unknown, commit 0123456789ab"
    needed = {entities[each["@id"]]["name"] for each in software["softwareRequirements"]}
    assert needed == {"python", "torch"}
    assert {each["@id"] for each in evaluation["object"]} == {
        f"{ROW}/checkpoint.pth",
        "#data-val%20of%20digits",
    }
    metric = entities[f"#{ROW}/bbox/AP"]
    assert (metric["name"], metric["value"], metric["unitText"]) == ("box AP", 45.0, "percent")
    assert {"@id": metric["@id"]} in evaluation["result"]
    paper = entities[entities[f"#{ROW}"]["citation"]["@id"]]
    assert paper["@id"] == "https://doi.org/10.48550/arXiv.2107.11669"


def test_every_reference_leads_to_an_entity(catalogue, demo):
    document = content(catalogue, demo)
    known = by_id(document)
    outside = set(references(document["@graph"])) - set(known)
    assert outside == {"https://w3id.org/ro/crate/1.1"}


def test_files_have_size_and_hash_and_lie_in_the_crate(catalogue, demo):
    document = content(catalogue, demo)
    files = {entity["@id"]: entity for entity in of_type(document, "File")}
    parts = {each["@id"] for each in by_id(document)["./"]["hasPart"]}
    assert parts == set(files) and len(files) == 2 + 4 * len(DEMO_ENTRIES)
    for name, entity in files.items():
        path = demo / unquote(name)
        assert entity["sha256"] == file_sha256(path)
        assert entity["contentSize"] == str(path.stat().st_size)
    assert str(demo.parent) not in json.dumps(document)


def test_the_times_are_those_of_the_runs(catalogue, demo):
    results = read_results(catalogue, demo, "demo")
    for day, name in enumerate(DEMO_ENTRIES, start=1):
        session = SESSION | {"started": f"2026-01-{day:02d}T10:00:00Z"}
        changed(catalogue, results[name].first, sessions=[session])
    entities = by_id(content(catalogue, demo))
    training = entities[f"#{DEMO_ENTRIES[0]}/training"]
    assert training["startTime"] == "2026-01-01T10:00:00+00:00"
    assert training["endTime"] == "2026-01-01T10:00:42+00:00"
    assert entities["./"]["datePublished"] == "2026-01-04T10:00:42+00:00"
    usage = {
        entities[each["@id"]]["name"]: entities[each["@id"]] for each in training["resourceUsage"]
    }
    assert usage["seconds"]["value"] == 42.0 and usage["cores"]["value"] == 2


def test_published_values_only_beside_comparable_ones(catalogue, tmp_path, demo):
    assert "published" not in json.dumps(content(catalogue, demo)["@graph"][4:])
    write_result(tmp_path / "paper", ROW, "paper", 0.39, data="coco")
    entities = by_id(content(catalogue, tmp_path / "paper", "paper"))
    published = entities[f"#{ROW}/published/bbox/AP"]
    assert published["value"] == 39.9 and "RankSortLoss" in published["description"]
    assert {"@id": published["@id"]} in listed(entities[f"#{ROW}"]["subjectOf"])
    assert entities["#data-train%20of%20coco"]["name"] == "COCO 2017, train split"


def test_the_library_reads_it_and_writes_the_same(catalogue, demo, tmp_path):
    document = content(catalogue, demo)
    (demo / METADATA).write_text(json.dumps(document))
    crate = ROCrate(demo)
    assert crate.root_dataset["conformsTo"].id == PROFILE
    assert {entity.id for entity in crate.get_entities()} == set(by_id(document))
    assert crate.get(f"#{ROW}/bbox/AP")["value"] == 45.0
    crate.write(tmp_path / "copy")
    again = json.loads((tmp_path / "copy" / METADATA).read_text())
    assert by_id(again) == by_id(document)
    assert (tmp_path / "copy" / ROW / "checkpoint.pth").read_bytes() == b"weights"


def test_seeds_are_runs_of_one_row(catalogue, tmp_path):
    folder = tmp_path / "demo"
    for seed in (0, 1):
        write_result(folder, ROW, "demo", 0.4 + seed / 100, seed=seed, several=True)
    document = content(catalogue, folder)
    names = [entity["@id"] for entity in of_type(document, "CreateAction")]
    assert names == [
        f"#{ROW}/seed-{seed}/{name}" for seed in (0, 1) for name in ("training", "evaluation")
    ]
    entities = by_id(document)
    assert entities[f"#{ROW}/seed-1/seed"]["value"] == 1
    assert entities[f"#{ROW}/seed-1/bbox/AP"]["value"] == 41.0
    assert f"{ROW}/seed-1/run.json" in entities and f"#{ROW}" in entities


@pytest.mark.parametrize("missing", ["run.json", "curves.json", "training.jsonl", "everything"])
def test_a_run_is_listed_with_what_is_there(catalogue, demo, missing):
    names = ["run.json", "curves.json", "training.jsonl", "checkpoint.pth", "detections.json"]
    for name in names if missing == "everything" else [missing]:
        (demo / ROW / name).unlink()
    document = content(catalogue, demo)
    entities = by_id(document)
    evaluation = entities[f"#{ROW}/evaluation"]
    assert {"@id": f"#{ROW}/bbox/AP"} in evaluation["result"]
    assert (f"#{ROW}/training" in entities) is (missing != "everything")
    assert f"{ROW}/{missing}" not in entities
    (demo / METADATA).write_text(json.dumps(document))
    assert ROCrate(demo).get(f"#{ROW}/evaluation")["name"] == f"Evaluation of {ROW} (demo)"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1], {"a": 1}, True, None])
def test_an_edited_record_does_not_break_the_crate(catalogue, demo, value):
    run = read_results(catalogue, demo, "demo")[ROW].first
    changed(catalogue, run, batch_size=value, processes=value, sessions=value, weights=value)
    document = content(catalogue, demo)
    json.dumps(document, allow_nan=False)
    assert f"#{ROW}/training" in by_id(document)


def test_without_any_record_the_date_is_that_of_the_metrics(catalogue, demo):
    import os

    for place in demo.iterdir():
        (place / "run.json").unlink()
        os.utime(place / "metrics.json", (1_700_000_000, 1_700_000_000))
    published = by_id(content(catalogue, demo))["./"]["datePublished"]
    assert published == "2023-11-14T22:13:20+00:00"


def test_nothing_measured_is_an_empty_crate(catalogue, tmp_path):
    (tmp_path / "demo").mkdir()
    document = content(catalogue, tmp_path / "demo")
    assert of_type(document, "CreateAction") == [] and "hasPart" not in by_id(document)["./"]


def test_published_weights_are_evaluated_only(catalogue, tmp_path):
    write_result(tmp_path / "published", ROW, "published", data="coco")
    document = content(catalogue, tmp_path / "published", "published")
    assert [entity["@id"] for entity in of_type(document, "CreateAction")] == [f"#{ROW}/evaluation"]


@pytest.mark.parametrize("label", LABELS)
def test_names_from_outside_are_values(catalogue, demo, label):
    run = read_results(catalogue, demo, "demo")[ROW].first
    data = {**run.data, "name": label, "train_sha256": label}
    changed(catalogue, run, data=data, git=label, versions={label: label}, machine={"cpu": label})
    document = content(catalogue, demo)
    (demo / METADATA).write_text(json.dumps(document))
    assert len(list(ROCrate(demo).get_entities())) == len(document["@graph"])
    for identifier in by_id(document):
        assert not set(identifier) & set(' <>"{}|\\^`\n\x1b')
    assert (
        not set(references(document["@graph"]))
        - set(by_id(document))
        - {"https://w3id.org/ro/crate/1.1"}
    )


def call(*arguments):
    result = CliRunner().invoke(app, ["report", "crate", *map(str, arguments)])
    if isinstance(result.exception, InputError):
        raise result.exception
    assert result.exit_code == 0, result.output


def test_the_command_writes_the_same_bytes_wherever_the_results_lie(demo, tmp_path):
    call("--preset", "demo", "--results", demo)
    first = (demo / METADATA).read_bytes()
    call("--preset", "demo", "--results", demo)
    assert (demo / METADATA).read_bytes() == first
    moved = shutil.copytree(demo, tmp_path / "elsewhere" / "demo")
    (moved / METADATA).unlink()
    call("--preset", "demo", "--results", moved, "--out", tmp_path / "crate.json")
    assert (tmp_path / "crate.json").read_bytes() == first
    call("--preset", "demo", "--results", demo, "--entries", ROW)
    actions = of_type(json.loads((demo / METADATA).read_text()), "CreateAction")
    assert len(actions) == 2


def test_mistakes_leave_nothing_behind(demo, tmp_path):
    with pytest.raises(InputError, match="no folder at"):
        call("--preset", "demo", "--results", tmp_path / "none")
    with pytest.raises(InputError, match="an input of this command"):
        call("--preset", "demo", "--results", demo, "--out", demo / ROW / "run.json")
    (demo / ROW / "run.json").write_text("{")
    with pytest.raises(InputError, match=r"run\.json"):
        call("--preset", "demo", "--results", demo)
    assert not (demo / METADATA).exists()
