"""The tables of what can be fetched: complete, consistent with the catalogue, checked."""

import pytest

from rankdet.catalogue import load_catalogue
from rankdet.downloads.table import (
    Download,
    backbone_of,
    data_set,
    find_backbone,
    load_downloads,
    published_model,
)
from rankdet.downloads.transfer import direct_address
from rankdet.errors import InputError

CATALOGUE = load_catalogue()


def test_every_entry_has_its_backbone():
    without = [entry.entry_id for entry in CATALOGUE if backbone_of(entry) is None]
    # Two rows have no public configuration, two are not named by their paper's code.
    assert all(CATALOGUE[name].official.backbone is None for name in without)
    for entry in CATALOGUE:
        row, backbone = backbone_of(entry), entry.official.backbone
        if row and (backbone.pretrained_url or "").startswith("https://"):
            assert backbone.pretrained_url in row.addresses, entry.entry_id


def test_a_name_of_2020_is_the_file_of_2020():
    """torchvision renamed its files: the official runs and mmdet's baselines loaded two."""
    assert backbone_of(CATALOGUE["rs_atss_r50"]).file == "resnet50-19c8e357.pth"
    assert backbone_of(CATALOGUE["control_atss_r50"]).file == "resnet50-0676ba61.pth"


def test_hashes_agree_with_the_names_that_carry_them():
    for row in load_downloads():
        digits = row.file.removesuffix(".pth").rsplit("-", 1)[-1]
        if row.kind == "backbone" and len(digits) == 8 and digits not in ("pytorch",):
            assert row.sha256[:8] == digits


def test_data_sets_are_verifiable():
    for name, parts in (("coco", 5), ("lvis", 2)):
        rows = data_set(name)
        assert len(rows) == parts
        for row in rows:
            assert len(row.sha256) == 64 and row.md5 and row.size_bytes and row.count
            assert row.addresses


@pytest.mark.parametrize("name", ["resnet50", "torchvision://resnet50", "resnet50-19c8e357.pth"])
def test_a_backbone_by_any_of_its_names(name):
    assert find_backbone(name).name == "resnet50"


@pytest.mark.parametrize("name", ["resnet51", ""])
def test_an_unknown_backbone_lists_the_known(name):
    with pytest.raises(InputError, match="resnet50"):
        find_backbone(name)


def test_published_models():
    models = {entry.entry_id: published_model(entry) for entry in CATALOGUE}
    found = {name for name, row in models.items() if isinstance(row, Download)}
    assert sum(CATALOGUE[name].status == "seed" for name in found) == 35
    assert sum(CATALOGUE[name].status == "control" for name in found) == 6
    assert models["pap_pap_retinanet_r50"] == "no trained model was published for it"
    assert "without a link" in models["ext_br_brs_frcnn_r101_3x"]
    for name in found:
        assert direct_address(models[name].addresses[0]).startswith("https://")


def test_addresses_of_file_hosts():
    assert direct_address("https://drive.google.com/file/d/1Ab-c_9/view") == (
        "https://drive.usercontent.google.com/download?id=1Ab-c_9&export=download&confirm=t"
    )
    assert direct_address("https://1drv.ms/u/s!abc?e=x") is None
    assert direct_address("https://example.org/a.pth") == "https://example.org/a.pth"


@pytest.mark.parametrize(
    ("cell", "replacement", "message"),
    [
        ("resnet34-333f7ec4.pth", "../../evil.pth", "column file"),
        (",333f7ec4,", ",333f,", "column sha256"),
        ("backbone,resnet34,", "backbone,resnet50,", "a value that no other line has"),
        ("19336861798", "many", "column size_bytes"),
    ],
)
def test_a_mistake_in_the_table_is_named(tmp_path, cell, replacement, message):
    from rankdet.paths import configs_dir

    text = (configs_dir() / "downloads.csv").read_text()
    assert cell in text
    (tmp_path / "downloads.csv").write_text(text.replace(cell, replacement, 1))
    with pytest.raises(InputError, match=message):
        load_downloads(tmp_path)
