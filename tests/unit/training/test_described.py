"""What run.json says about the settings: the resolved config without paths, the differences."""

import json

import pytest

from rankdet.catalogue import load_catalogue
from rankdet.catalogue.presets import get_preset
from rankdet.datasets.digits import prepare_digits
from rankdet.report.results import read_run
from rankdet.training.described import described, plain
from rankdet.training.resolve import resolve


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepare_digits(tmp_path_factory.mktemp("data") / "digits", 0, 4, 2)


@pytest.mark.parametrize("entry", ["rs_atss_r50", "rs_mask_r50", "alrp_ap_r101_500"])
def test_a_short_preset_differs_by_its_preset_and_names_no_place(digits, entry, tmp_path):
    row, preset = load_catalogue()[entry], get_preset("demo")
    config = resolve(entry, preset, digits)
    before = config.to_dict()
    found = described(row, config, preset)
    assert config.to_dict() == before
    text = json.dumps(found, allow_nan=False)
    assert str(digits.folder) not in text and len(text) < 40_000
    assert found["config"]["model"]["type"] == config.model.type
    by_name = {each["setting"]: each for each in found["differences"]}
    rate = by_name["schedule.optimizer.lr"]
    assert rate["here"] == str(preset.learning_rate) != rate["official"]
    assert rate["reason"] == "preset demo"
    assert not [name for name in by_name if name.endswith(("num_classes", "annotations"))]
    (tmp_path / "run.json").write_text(text)
    assert read_run(tmp_path / "run.json") == found


def test_the_official_run_differs_by_what_is_stated():
    row, preset = load_catalogue()["rs_atss_r50"], get_preset("paper")
    found = described(row, resolve(row.entry_id, preset, None), preset)
    assert all(each["reason"] for each in found["differences"])
    changed = resolve(row.entry_id, preset, None)
    changed.optim_wrapper.optimizer.lr = 0.5
    more = described(row, changed, preset)["differences"]
    assert [each for each in more if each not in found["differences"]] == [
        {"setting": "schedule.optimizer.lr", "official": "0.008", "here": "0.5", "reason": ""}
    ]


def test_values_that_json_lacks():
    assert plain({"a": (float("inf"), 1), "ann_file": "/x", 2: None}) == {
        "a": ["inf", 1],
        "2": None,
    }
