"""The record of a training has the weights of self-balanced losses, and changes no step."""

import json

import pytest
import torch

from rankdet.catalogue.presets import Preset
from rankdet.datasets.digits import prepare_digits
from rankdet.training import record as record_module
from rankdet.training.record import balance_weights
from rankdet.training.run import train

TINY = Preset(
    "demo", "for this test", "digits", 4, 2, 64, True, 1e-3, score_threshold=1e-3, workers=0
)
ALRP = "alrp_mmdet_alrp_retinanet_r50_500"


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepare_digits(tmp_path_factory.mktemp("data") / "digits", 0, 6, 2)


def trained(digits, folder, entry=ALRP):
    """Return the lines of the steps, and the final weights."""
    train(entry, TINY, digits, folder / "work", folder / "out" / "checkpoint.pth")
    lines = [json.loads(line) for line in (folder / "out" / "training.jsonl").open()]
    state = torch.load(folder / "out" / "checkpoint.pth", weights_only=True)["state_dict"]
    return [line for line in lines if "loss" in line], state


def test_the_balance_is_recorded_and_changes_no_step(digits, tmp_path, monkeypatch):
    lines, state = trained(digits, tmp_path / "with")
    weights = [line["balance_bbox"] for line in lines]
    # Six images in batches of two: the weight is renewed at step 3.
    assert weights[:2] == [50, 50] and weights[2] == weights[3] != 50
    assert weights[-1] == float(state["bbox_head.self_balance.weight"])
    for line in lines:
        assert line["loss"] == pytest.approx(line["loss_cls"] + line["loss_bbox"])
    monkeypatch.setattr(record_module, "balance_weights", lambda model: {})
    bare, same = trained(digits, tmp_path / "without")
    own = ("time", "balance_bbox")
    assert bare and all("balance_bbox" not in line for line in bare)
    for line, other in zip(lines, bare, strict=True):
        assert {key: line[key] for key in line if key not in own} == {
            key: other[key] for key in other if key not in own
        }
    assert state.keys() == same.keys()
    assert all(torch.equal(state[name], same[name]) for name in state)


def test_other_losses_have_none(digits, tmp_path):
    lines, _ = trained(digits, tmp_path, "rs_atss_r50")
    assert lines and not any(key.startswith("balance") for line in lines for key in line)


def test_each_balanced_loss_has_its_name():
    from rankdet.losses import SelfBalance
    from rankdet.models.steps.alrp import AlrpStep

    def head(place, weight):
        module = torch.nn.Module()
        module.place, module.loss_step = place, AlrpStep()
        module.self_balance = SelfBalance(period=3, initial=weight)
        return module

    plain = torch.nn.Module()
    plain.self_balance = None
    model = torch.nn.ModuleList([head("rpn_", 7.0), head("roi_", 5.0), plain])
    assert balance_weights(model) == {"balance_rpn_bbox": 7.0, "balance_bbox": 5.0}
    wrapped = torch.nn.DataParallel(model)  # as DistributedDataParallel holds a model
    assert balance_weights(wrapped) == balance_weights(model)
