"""Official settings as YAML: merged as documented; a mistake has file, entry and setting."""

import shutil
from pathlib import Path

import pytest
import yaml

from rankdet.catalogue import load_catalogue
from rankdet.catalogue.official import GROUPS, OfficialSettings
from rankdet.catalogue.official_files import merge, read_official
from rankdet.errors import InputError

CONFIGS = Path(__file__).parents[3] / "configs"
CATALOGUE = load_catalogue(CONFIGS)


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(CONFIGS / "official", tmp_path / "official")
    for name in ("experiments.csv", "published.csv"):
        shutil.copy(CONFIGS / name, tmp_path)
    return tmp_path


def change(folder, family, edit):
    path = folder / "official" / f"{family}.yaml"
    document = yaml.safe_load(path.read_text())
    edit(document)
    path.write_text(yaml.safe_dump(document))
    return path


def put(*path_and_value):
    *path, last, value = path_and_value

    def edit(document):
        for name in path:
            document = document.setdefault(name, {})
        document[last] = value

    return edit


ROW = ("entries", "rs_atss_r50")


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (put(*ROW, "schedule", "epochs", "twelve"), "schedule.epochs: a valid integer"),
        (put(*ROW, "schedule", "epochs", -1), "schedule.epochs: greater than or equal to 1"),
        (put(*ROW, "schedule", "epoch", 12), "schedule.epoch: a setting that is known; got 12"),
        (put(*ROW, "schedule", "optimizer", "lr", 0), "schedule.optimizer.lr: greater than 0"),
        (put(*ROW, "schedule", "optimizer", None), None),
        (put(*ROW, "batch", "total", "many"), "batch.total"),
        (put(*ROW, "model", "bbox_head", "loss_cls", "detla", 1), "loss_cls.detla: a setting that"),
        (put(*ROW, "model", "detector", None), "model.detector: a value; got nothing"),
        (put(*ROW, "images", "mean", [1, 2]), "images.mean"),
        (put(*ROW, "test", "dense", "score_thr", float("nan")), "test.dense.score_thr"),
        (put(*ROW, "sources", "test", None), "a source of test"),
        (put(*ROW, "sources", "tests", "x"), "sources"),
        (put(*ROW, "like", "rs_ats_r50"), "like: an entry; got 'rs_ats_r50'"),
        (put(*ROW, "like", "rs_paa_r50"), "like: an entry that does not start from this one"),
        (put(*ROW, "like", ["a"]), "like: an entry"),
        (put(*ROW, "noets", "x"), "noets: a setting that is known"),
    ],
)
def test_a_mistake_is_named_by_file_entry_and_setting(folder, edit, words):
    path = change(folder, "rank_sort", edit)
    if words is None:
        assert load_catalogue(folder)["rs_atss_r50"].official.schedule.optimizer is None
        return
    with pytest.raises(InputError) as error:
        load_catalogue(folder)
    text = str(error.value)
    assert words in text and str(path) in text and "\n" not in text
    assert "rs_atss_r50" in text or "rs_paa_r50" in text


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (put("entries", "rs_ats_r50", {}), "an entry of family rank_sort; got 'rs_ats_r50'"),
        (put("entries", "control_atss_r50", {}), "an entry of family rank_sort"),
        (put("entires", {}), "defaults or entries; got 'entires'"),
        (put(*ROW, [1]), "rs_atss_r50: settings by name; got [1]"),
        (put("defaults", 3), "defaults: settings by name; got 3"),
        (put("entries", 3), "entries: settings by name"),
    ],
)
def test_a_file_of_another_shape_is_refused(folder, edit, words):
    path = change(folder, "rank_sort", edit)
    with pytest.raises(InputError) as error:
        load_catalogue(folder)
    assert words in str(error.value) and str(path) in str(error.value)


def test_a_missing_file_is_named(folder):
    (folder / "official" / "control.yaml").unlink()
    with pytest.raises(InputError, match=r"control\.yaml"):
        load_catalogue(folder)


@pytest.mark.parametrize(
    ("base", "change", "merged"),
    [
        ({"a": 1, "b": {"c": 1}}, {"b": {"d": 2}}, {"a": 1, "b": {"c": 1, "d": 2}}),
        ({"a": 1, "b": {"c": 1, "d": 2}}, {"a": None, "b": {"c": None}}, {"b": {"d": 2}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        # Another component without parts is another one, with parts it keeps them.
        ({"a": {"type": "X", "c": 1}}, {"a": {"type": "Y"}}, {"a": {"type": "Y"}}),
        ({"a": {"type": "X", "c": 1}}, {"a": {"type": "X"}}, {"a": {"type": "X", "c": 1}}),
        (
            {"a": {"type": "X", "c": {"d": 1}}},
            {"a": {"type": "Y"}},
            {"a": {"type": "Y", "c": {"d": 1}}},
        ),
        ({}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({"a": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
)
def test_merge(base, change, merged):
    assert merge(base, change) == merged


def test_like_takes_settings_over_but_not_what_is_of_one_row(tmp_path):
    official = tmp_path / "official"
    official.mkdir()
    official.joinpath("a.yaml").write_text(
        "defaults: {repository: org/a, sources: {batch: file a}, batch: {total: 8}}\n"
        "entries:\n"
        "  one: {config: one.py, notes: of one, batch: {total: 16, samples_per_gpu: 2}}\n"
        "  two: {like: one, batch: {samples_per_gpu: 4}}\n"
        "  five: {like: none}\n"
    )
    official.joinpath("b.yaml").write_text(
        "defaults: {repository: org/b, sources: {batch: file b}, batch: {workers_per_gpu: 4}}\n"
        "entries:\n  three: {like: two}\n"
    )
    found = read_official(tmp_path, dict(one="a", two="a", five="a", three="b", four="b"))
    assert found["two"].config == found["two"].notes == ""
    assert found["two"].groups == {"batch": {"total": 16, "samples_per_gpu": 4}}
    assert found["three"].repository == "org/b" and found["three"].sources == {"batch": "file b"}
    assert found["three"].groups["batch"] == found["two"].groups["batch"] | {"workers_per_gpu": 4}
    assert found["four"].groups == {"batch": {"workers_per_gpu": 4}}
    assert found["five"] == OfficialSettings()


def test_what_is_read_from_them():
    official = CATALOGUE["rs_mask_r50"].official
    assert (official.epochs, official.pool_images, official.total_batch) == (12, 4, 16)
    assert official.test_size == (1333, 800)
    assert CATALOGUE["alrp_ap_r101_500"].official.test_size == (833, 500)
    assert official.leaves["model.roi_head.mask_head.loss_mask.eps"] == 5e-6
    assert CATALOGUE["ext_br_brs_atss_r50"].official.total_batch is None
    nothing = OfficialSettings()
    assert not nothing.groups and nothing.test_size is nothing.epochs is nothing.backbone is None


def test_every_family_has_a_file_and_every_file_a_family():
    families = {entry.family for entry in CATALOGUE}
    assert {path.stem for path in (CONFIGS / "official").iterdir()} == families
    rows = {
        name
        for path in (CONFIGS / "official").iterdir()
        for name in yaml.safe_load(path.read_text())["entries"]
    }
    assert rows == {entry.entry_id for entry in CATALOGUE}


def test_every_group_that_is_stated_has_a_source():
    for entry in CATALOGUE:
        official = entry.official
        assert set(official.groups) <= set(official.sources), entry.entry_id
        assert set(official.groups) <= set(GROUPS)
        text = " ".join([*official.sources.values(), official.notes, official.formula])
        assert "seed" not in text.lower()
