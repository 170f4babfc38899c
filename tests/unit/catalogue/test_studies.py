"""configs/studies.yaml: methods as entries, sets and learning rates as presets."""

import shutil

import pytest
import yaml

from rankdet.catalogue import load_catalogue
from rankdet.catalogue.presets import PRESETS, get_preset
from rankdet.catalogue.studies import (
    load_studies,
    part_name,
    rate_name,
    study_data,
    study_of,
    study_presets,
)
from rankdet.errors import InputError
from rankdet.paths import configs_dir

STUDY = "imbalance"


def test_every_method_has_a_config_and_stands_in_no_table():
    catalogue = load_catalogue()
    tables = {entry.entry_id for table in catalogue.tables for entry in table.entries}
    for name in study_of(STUDY).methods:
        assert catalogue[name].config_path.is_file()
        assert name in catalogue and name not in tables
        assert name not in {entry.entry_id for entry in catalogue}


def test_the_sets_are_presets_of_equal_length():
    study, presets = study_of(STUDY), study_presets()
    for name in study.sets:
        preset = get_preset(part_name(STUDY, name))
        assert preset == presets[preset.name]
        assert (preset.iterations, preset.batch_size) == (study.iterations, study.batch_size)
        assert preset.seeds == study.seeds and preset.learning_rate is None
        assert not preset.is_comparable and preset.data in study_data()
    for rate in study.learning_rates:
        preset = get_preset(rate_name(STUDY, rate))
        assert preset.learning_rate == rate and preset.seeds == study.seeds[:1]


def test_the_rates_are_chosen_on_another_val_split_of_the_same_training_set():
    study, data = study_of(STUDY), study_data()
    tried = data[get_preset(rate_name(STUDY, study.learning_rates[0])).data]
    measured = data[get_preset(part_name(STUDY, study.chosen_on)).data]
    assert tried.pop("val_seed") and tried == measured


def test_no_study_takes_the_name_of_a_preset():
    assert not set(PRESETS) & set(study_presets())


@pytest.fixture
def own(tmp_path):
    """Return a function that writes a changed studies.yaml and reads it."""
    content = yaml.safe_load((configs_dir() / "studies.yaml").read_text())

    def read(change):
        change(content)
        (tmp_path / "studies.yaml").write_text(yaml.safe_dump(content))
        return load_studies(tmp_path)

    return read


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c[STUDY].update(iterations=0), "imbalance.iterations"),
        (lambda c: c[STUDY].update(seeds=[0]), "imbalance.seeds"),
        (lambda c: c[STUDY].update(chosen_on="nosuch"), "chosen_on as one of the sets: 1, 10"),
        (lambda c: c[STUDY]["sets"].update({"a/b": {"imbalance": 1}}), "imbalance.sets"),
        (lambda c: c[STUDY]["sets"]["1"].update(imbalance=0.5), "imbalance.sets.1.imbalance"),
        (lambda c: c[STUDY]["sets"]["1"].update(objects="lots"), "imbalance.sets.1.objects"),
        (lambda c: c[STUDY].update(typo=1), "imbalance.typo"),
        (lambda c: c[STUDY]["methods"].update(rs_atss_r50={}), "imbalance.methods"),
        (lambda c: c.update({"Bad name": c.pop(STUDY)}), "Bad name"),
        (lambda c: c.update(other=3), "other"),
    ],
)
def test_a_mistake_is_named_with_its_place(own, change, words):
    with pytest.raises(InputError) as caught:
        own(change)
    assert words in str(caught.value) and "studies.yaml" in str(caught.value)


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "\x00", "just text"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text):
    (tmp_path / "studies.yaml").write_text(text)
    with pytest.raises(InputError, match="with studies by name"):
        load_studies(tmp_path)


def test_without_the_file_there_is_no_study(tmp_path):
    for name in ("experiments.csv", "published.csv"):
        shutil.copy(configs_dir() / name, tmp_path)
    shutil.copytree(configs_dir() / "official", tmp_path / "official")
    assert len(load_catalogue(tmp_path)) == len(load_catalogue())


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_learning_rate_is_above_zero(rate):
    with pytest.raises(InputError, match="a learning rate above 0"):
        get_preset("demo", learning_rate=rate)


def test_a_long_preset_keeps_its_schedule():
    with pytest.raises(InputError, match="a preset that counts iterations"):
        get_preset("paper", learning_rate=0.1)
