"""What a training starts from is here and verified, or the run does not begin."""

import hashlib

import pytest
import torch
from mmdet.registry import MODELS

from rankdet.catalogue import load_catalogue
from rankdet.catalogue.presets import get_preset
from rankdet.datasets.digits import prepare_digits
from rankdet.downloads.table import backbone_of
from rankdet.errors import InputError
from rankdet.models.build import load_config
from rankdet.training import start
from rankdet.training.resolve import resolve
from rankdet.training.run import Settings, train
from rankdet.training.runner import prepare_runner
from rankdet.training.start import forget_weights, pretrained, require_local, use_local_weights

CATALOGUE = load_catalogue()
ENTRY = CATALOGUE["rs_atss_r50"]
WITH_CONFIG = [entry.entry_id for entry in CATALOGUE if entry.config_path.exists()]


@pytest.fixture
def digits(tmp_path):
    return prepare_digits(tmp_path / "digits", 0, 2, 2)


@pytest.fixture
def no_network(monkeypatch):
    """Any connection is an error."""

    def refuse(*arguments, **keywords):
        raise AssertionError("a download at run time")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.create_connection", refuse)


def put_backbone(folder, monkeypatch, entry=ENTRY):
    """Write a backbone under the file name of the entry's, and let the table know its hash."""
    config = load_config(entry.entry_id).model.backbone.copy()
    config.init_cfg = None
    network = MODELS.build(config)
    folder.mkdir()
    row = backbone_of(entry)
    path = folder / row.file
    torch.save({**network.state_dict(), "fc.weight": torch.ones(2)}, path)
    known = row.model_copy(update={"sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
    monkeypatch.setattr(start, "backbone_of", lambda entry: known)
    return path, network


@pytest.mark.parametrize("entry_id", WITH_CONFIG)
def test_every_row_of_preset_paper_starts_from_local_files(entry_id, tmp_path, monkeypatch):
    entry = CATALOGUE[entry_id]
    config = resolve(entry_id, get_preset("paper"), None)
    row = backbone_of(entry)
    with pytest.raises(InputError, match=f"rankdet fetch backbone {row.name}"):
        use_local_weights(config, entry, tmp_path)
    torch.save({"conv1.weight": torch.ones(1)}, tmp_path / row.file)
    monkeypatch.setattr(start, "verify", lambda row, path, sha256: "f" * 64)
    assert use_local_weights(config, entry, tmp_path) == {"file": row.file, "sha256": "f" * 64}
    require_local(config)
    assert any(pretrained(config)) or config.load_from == str(tmp_path / row.file)


def test_the_weights_are_those_of_the_file(tmp_path, monkeypatch, no_network):
    path, network = put_backbone(tmp_path / "backbones", monkeypatch)
    config = resolve(ENTRY.entry_id, get_preset("paper"), None)
    record = use_local_weights(config, ENTRY, path.parent)
    assert record["file"] == "resnet50-19c8e357.pth"
    backbone = MODELS.build(config.model.backbone)
    backbone.init_weights()
    for name, value in network.state_dict().items():
        assert torch.equal(backbone.state_dict()[name], value), name


def test_a_damaged_file_stops_the_run(tmp_path, monkeypatch):
    path, _ = put_backbone(tmp_path / "backbones", monkeypatch)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="a damaged or another file"):
        use_local_weights(resolve(ENTRY.entry_id, get_preset("paper"), None), ENTRY, path.parent)


def test_training_asks_for_the_missing_file_before_anything(tmp_path, digits, no_network):
    with pytest.raises(InputError, match="rankdet fetch backbone resnet50"):
        train(
            ENTRY.entry_id,
            get_preset("paper"),
            digits,
            tmp_path / "work",
            tmp_path / "out.pth",
            Settings(backbones=tmp_path),
        )
    assert not (tmp_path / "work").exists()


def test_published_weights_are_not_trained(tmp_path, digits):
    with pytest.raises(InputError, match="rankdet fetch checkpoint rs_atss_r50"):
        train(
            ENTRY.entry_id,
            get_preset("published"),
            digits,
            tmp_path / "work",
            tmp_path / "out.pth",
        )


def test_no_runner_is_built_that_would_download(tmp_path, digits, no_network):
    config = resolve(ENTRY.entry_id, get_preset("paper"), digits)
    with pytest.raises(InputError, match="torchvision://resnet50"):
        prepare_runner(config, tmp_path, 0, 0)
    forget_weights(config)
    prepare_runner(config, tmp_path, 0, 0)


def test_weights_that_nobody_knows_are_refused(tmp_path, monkeypatch):
    config = resolve(ENTRY.entry_id, get_preset("paper"), None)
    monkeypatch.setattr(start, "backbone_of", lambda entry: None)
    with pytest.raises(InputError, match=r"torchvision://resnet50.*add a row"):
        use_local_weights(config, ENTRY, tmp_path)
