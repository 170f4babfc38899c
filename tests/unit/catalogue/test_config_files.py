"""Config files and state of an entry are read from disk, not typed in."""

import shutil
from pathlib import Path

import pytest

from rankdet.catalogue import config_files, entry_state, load_catalogue
from rankdet.errors import InputError

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.fixture
def catalogue(tmp_path):
    folder = tmp_path / "configs"
    folder.mkdir()
    for name in ("experiments.csv", "published.csv"):
        shutil.copy(CONFIGS / name, folder)
    shutil.copytree(CONFIGS / "official", folder / "official")
    return load_catalogue(folder)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_local_bases_are_followed_and_installed_ones_are_not(catalogue):
    entry = catalogue["rs_atss_r50"]
    base = entry.config_path.parents[1] / "_base_"
    write(entry.config_path, "_base_ = ['mmdet::atss/atss.py', '../_base_/a.py', '../_base_/b.py']")
    a = write(base / "a.py", "_base_ = './b.py'\nx = 1\n")
    b = write(base / "b.py", "y = [i for i in range(3)]\n")
    assert config_files(entry) == [entry.config_path, a, b]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no file at"),
        ("_base_ = [", "line 1"),
        ("name = 'a'\n_base_ = name\n", "line 2.*`_base_` as a string"),
        ("_base_ = '../_base_/gone.py'", r"no file at .*gone\.py"),
    ],
)
def test_broken_config_is_named(catalogue, text, words):
    entry = catalogue["rs_atss_r50"]
    if text is not None:
        write(entry.config_path, text)
    with pytest.raises(InputError, match=words):
        config_files(entry)


def test_every_committed_config_can_be_followed():
    present = [entry for entry in load_catalogue(CONFIGS) if entry.config_path.is_file()]
    assert present
    for entry in present:
        assert config_files(entry)[0] == entry.config_path


def test_every_committed_config_belongs_to_an_entry():
    catalogue = load_catalogue(CONFIGS)
    known = {entry.config_path for entry in (*catalogue, *catalogue.methods)}
    found = set(CONFIGS.glob("[a-z]*/*.py"))
    assert found <= known


def test_state_follows_the_disk(catalogue, tmp_path):
    entry = catalogue["rs_atss_r50"]
    results = tmp_path / "results"
    assert entry_state(entry, results).label == "no config yet"
    write(entry.config_path, "")
    assert entry_state(entry, results).label == "not rehearsed with this code"
    for preset in ("rehearsal", "mini", "demo"):
        write(results / preset / entry.entry_id / "metrics.json", "{}")
    state = entry_state(entry, results)
    assert (state.label, state.measured) == ("measured (demo, mini)", ("demo", "mini"))


def test_state_without_an_official_config(catalogue, tmp_path):
    published = [
        entry.entry_id
        for entry in catalogue
        if entry_state(entry, tmp_path, has_figures=bool(catalogue.published(entry.entry_id))).label
        == "published only"
    ]
    assert published[:2] == ["pap_autoloss_zero_frcnn_r50", "pap_cse_autoloss_a_frcnn_r50"]
    # Co-DETR has configs, but no release of mmdet holds it.
    assert [catalogue[name].official.model.detector for name in published[2:]] == ["CoDETR"] * 6
    named = entry_state(catalogue["aploss_ap_r101_500"], tmp_path, has_figures=False)
    assert named.label == "named only"
