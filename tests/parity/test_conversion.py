"""Old-style checkpoints, made with the official names and shapes, become ours and load strictly."""

import collections
import csv

import pytest
import torch

from rankdet.errors import InputError
from rankdet.models.build import build_model
from rankdet.weights.checkpoint_files import named_tensors
from rankdet.weights.convert import convert, read_official
from tests.parity.rows import WITH_CONFIG
from tests.parity.test_state_dicts import folder, recorded, shapes

with (folder() / "index.csv").open(newline="") as stream:
    LISTS = [row["entry_id"] for row in csv.DictReader(stream)]
AP_CODE = ("alrp_ap_", "ext_alrp_ap_")
CONVERTED = {
    name: [entry.entry_id for entry in WITH_CONFIG if recorded(entry.entry_id) == path]
    for name in LISTS
    for path in [folder() / f"{name}.csv.gz"]
}

# Rows whose official model was not recorded: the nearest recorded one, and what differs from it
# by the papers (classes, anchors, a branch that Rank & Sort removed). Start of name -> what its
# first number becomes; a name of its own is added.
CITY = {"roi_head.bbox_head.fc_cls": 8, "roi_head.bbox_head.fc_reg": 32}
CITY |= {"roi_head.mask_head.conv_logits": 8}
CENTERNESS = {"bbox_head.atss_cls": 80, "bbox_head.atss_reg": 4}
ADDED = {"bbox_head.atss_centerness.weight": "1x256x3x3", "bbox_head.atss_centerness.bias": "1"}
CASCADE = {f"roi_head.bbox_head.{stage}.fc_cls": 81 for stage in range(3)}
DERIVED = {
    "ext_br_rs_mask_r50_city": ("rs_mask_r50", CITY, {}),
    "ext_br_brs_mask_r50_city": ("rs_mask_r50", CITY, {}),
    "control_retinanet_r50": (
        "pap_focal_l1_retinanet_r50",
        {"bbox_head.retina_cls": 720, "bbox_head.retina_reg": 36},
        {},
    ),
    "control_atss_r50": ("rs_atss_r50", CENTERNESS, ADDED),
    "control_paa_r50": ("rs_paa_r50", CENTERNESS, ADDED),
    "control_frcnn_r50": ("alrp_mmdet_ce_l1_frcnn_r50_500", {}, {}),
    "control_cascade_r50": ("rs_cascade_r50", CASCADE, {}),
    "control_mask_r50": ("rs_mask_r50", {"roi_head.bbox_head.fc_cls": 81}, {}),
}


@pytest.fixture
def small_files(monkeypatch):
    """Read files of `old_checkpoint`, which have one number of storage for each tensor.

    The conversion itself refuses them: a file from elsewhere must have all its numbers.
    """

    def read(path):
        return named_tensors(torch.load(path, weights_only=True), path)

    monkeypatch.setattr("rankdet.weights.convert.load_tensors", read)


def old_checkpoint(path, layout, *, whole=False):
    """Save a checkpoint as mmdetection 2 did; tensor k of the layout is filled with k.

    Unless it is ``whole``, it has one number for each tensor: the largest model is a small file.
    """
    state = collections.OrderedDict()
    for index, (name, shape) in enumerate(layout.items()):
        size = [int(side) for side in shape.split("x") if side]
        kind = torch.int64 if name.endswith("num_batches_tracked") else torch.float32
        number = torch.tensor(index, dtype=kind).expand(size)
        state[name] = number.clone() if whole else number
    meta = {"mmdet_version": "2.3.0", "CLASSES": ("person",), "epoch": 12, "iter": 87960}
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(1)}}, "param_groups": [{"lr": 0.008}]}
    torch.save({"meta": meta, "state_dict": state, "optimizer": optimizer}, path)
    return state


def test_all_lists_are_here():
    assert len(LISTS) == 44


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("name", LISTS)
def test_the_official_layout_converts(name, tmp_path):
    layout = shapes(folder() / f"{name}.csv.gz")
    path = tmp_path / "official.pth"
    state = old_checkpoint(path, layout)
    values = sorted(int(value.flatten()[0]) for value in state.values())
    converted = read_official(CONVERTED[name][0], path)  # loads strictly, or raises
    own = {key: value for key, value in converted.items() if "self_balance" not in key}
    # Each official tensor stands under one name of ours, none twice.
    assert sorted(int(value.flatten()[0]) for value in own.values()) == values


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("name", [name for name in LISTS if name.startswith(AP_CODE)])
def test_names_of_the_ap_loss_code_base_come_with_and_without_its_wrapper(name, tmp_path):
    layout = shapes(folder() / f"{name}.csv.gz")
    assert all(key.startswith("module.") for key in layout)
    old_checkpoint(tmp_path / "saved.pth", layout)
    bare = {key.removeprefix("module."): shape for key, shape in layout.items()}
    old_checkpoint(tmp_path / "bare.pth", bare)
    entry_id = next(row for row in CONVERTED[name] if "alrp" in row)
    wrapped, plain = (read_official(entry_id, tmp_path / f"{k}.pth") for k in ("saved", "bare"))
    assert wrapped.keys() == plain.keys()
    assert all(torch.equal(wrapped[key], plain[key]) for key in wrapped)
    balance = {key: value for key, value in wrapped.items() if "self_balance" in key}
    assert balance.pop("bbox_head.self_balance.weight") == 50
    assert balance and not any(value.any() for value in balance.values())


def test_the_written_checkpoint_is_read_as_ours(tmp_path):
    from rankdet.training.checkpoints import load_weights

    layout = shapes(folder() / "alrp_mmdet_alrp_fovea_r50_500.csv.gz")
    state = old_checkpoint(tmp_path / "official.pth", layout, whole=True)
    out = tmp_path / "out" / "checkpoint.pth"
    record = convert("alrp_mmdet_alrp_fovea_r50_500", tmp_path / "official.pth", out)
    model = build_model("alrp_mmdet_alrp_fovea_r50_500", "cpu")
    meta = load_weights(model, out)
    assert meta["source_sha256"] == record["weights"]["sha256"]
    found = model.state_dict()["bbox_head.conv_cls.weight"]
    assert torch.equal(found, state["bbox_head.fovea_cls.weight"])
    assert (out.parent / "run.json").is_file()


def test_a_file_with_fewer_numbers_than_its_tensors_have_is_refused(tmp_path):
    layout = shapes(folder() / "pap_focal_l1_retinanet_r50.csv.gz")
    old_checkpoint(tmp_path / "a.pth", layout)
    with pytest.raises(InputError, match="whose elements overlap"):
        read_official("pap_focal_l1_retinanet_r50", tmp_path / "a.pth")


def change(layout, edit):
    changed = dict(layout)
    edit(changed)
    return changed


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda x: x.pop("bbox_head.retina_cls.bias"),
            r"a\.pth: missing bbox_head\.retina_cls\.bias;",
        ),
        (lambda x: x.update({"bbox_head.extra": "3"}), r"a\.pth: unexpected bbox_head\.extra;"),
        (lambda x: x.update({"bbox_head.retina_reg.bias": "36"}), r"shape \(24,\); got \(36,\)"),
    ],
)
def test_a_model_of_another_row_is_refused(tmp_path, edit, message):
    layout = shapes(folder() / "pap_focal_l1_retinanet_r50.csv.gz")
    old_checkpoint(tmp_path / "a.pth", change(layout, edit))
    with pytest.raises(InputError, match=message):
        read_official("pap_focal_l1_retinanet_r50", tmp_path / "a.pth")


def test_weights_that_are_not_finite_are_refused(tmp_path):
    layout = shapes(folder() / "pap_focal_l1_retinanet_r50.csv.gz")
    state = old_checkpoint(tmp_path / "a.pth", layout, whole=True)
    state["neck.lateral_convs.0.conv.bias"] = torch.full((256,), float("nan"))
    torch.save({"state_dict": state}, tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"NaN or inf in neck\.lateral_convs\.0\.conv\.bias"):
        read_official("pap_focal_l1_retinanet_r50", tmp_path / "a.pth")


def test_every_row_with_a_config_has_a_layout():
    converted = {name for entries in CONVERTED.values() for name in entries}
    assert {entry.entry_id for entry in WITH_CONFIG} == converted | DERIVED.keys()


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("entry_id", DERIVED)
def test_a_derived_layout_converts(entry_id, tmp_path):
    nearest, numbers, added = DERIVED[entry_id]
    layout = shapes(folder() / f"{nearest}.csv.gz") | added
    for start, number in numbers.items():
        names = [name for name in layout if name.startswith(f"{start}.")]
        assert len(names) == 2
        for name in names:
            layout[name] = "x".join([str(number), *layout[name].split("x")[1:]])
    old_checkpoint(tmp_path / "official.pth", layout)
    assert read_official(entry_id, tmp_path / "official.pth")
