"""Every row's config under preset paper against the official settings, setting by setting."""

from fnmatch import filter as filter_names

import pytest

from rankdet.audit.classes import LOSSES
from rankdet.catalogue.official import leaves
from rankdet.models.build import build_model
from rankdet.training.shrink import nodes
from tests.parity.rows import (
    AP_CODE,
    CATALOGUE,
    ENTRIES,
    MULTI_STAGE,
    ONE_STAGE,
    STATED,
    WITH_CONFIG,
    audited,
    by_id,
    paper,
)


def test_no_one_stage_row_is_missing():
    missing = {entry.entry_id for entry in ONE_STAGE} - {entry.entry_id for entry in WITH_CONFIG}
    assert len(ONE_STAGE) == 32
    assert not missing


def test_no_multi_stage_row_is_missing():
    missing = {entry.entry_id for entry in MULTI_STAGE} - {entry.entry_id for entry in WITH_CONFIG}
    assert len(MULTI_STAGE) == 36
    assert not missing


def test_no_row_of_the_ap_code_is_missing():
    missing = {entry.entry_id for entry in AP_CODE} - {entry.entry_id for entry in WITH_CONFIG}
    assert len(AP_CODE) == 9
    assert not missing


@pytest.mark.parametrize("entry", WITH_CONFIG, ids=by_id)
def test_settings(entry):
    assert not audited(entry.entry_id).unexplained


@pytest.mark.parametrize("entry", WITH_CONFIG, ids=by_id)
def test_every_group_is_stated_with_its_source(entry):
    official = entry.official
    assert {"data", "images", "batch", "schedule", "model", "test"} <= set(official.groups)
    assert set(official.groups) | {"losses", "gpus"} <= set(official.sources)


@pytest.mark.parametrize("entry", ENTRIES, ids=by_id)
def test_labels_say_what_the_settings_are(entry):
    """Detector, backbone, loss, data set and kinds of detections of the catalogue's line."""
    model = entry.official.model
    if model is None:
        assert not entry.official.config
        return
    net = model.backbone.model_dump()
    kind, depth = net["type"], net["depth"]
    name = "Swin" if kind == "SwinTransformer" else f"{kind}-{depth}"
    if kind == "ResNeXt":
        name += f"-{net['groups']}x{net['base_width']}d"
    assert entry.backbone == name + "-DCN" * ("dcn" in net) or name == "Swin"
    if model.detector == "CoDETR":
        return
    losses = {
        value
        for path, value in leaves(entry.official.groups["model"])
        if path.endswith("loss_cls.type")
    }
    other = {"Focal": {"FocalLoss"}, "CE": {"CrossEntropyLoss"}}
    is_two_stage = model.roi_head is not None
    assert losses == other.get(entry.loss_cls, {entry.loss_cls})
    assert entry.dataset in entry.official.data.train.annotations
    has_masks = model.mask_head is not None or (is_two_stage and model.roi_head.mask_head)
    has_boxes = is_two_stage or model.bbox_head is not None
    assert entry.detections.split() == ["bbox"] * has_boxes + ["segm"] * bool(has_masks)


@pytest.mark.parametrize("entry", WITH_CONFIG, ids=by_id)
def test_ranking_pool(entry):
    """Images that are ranked together are those of one official GPU."""
    pools = [
        node.pool_images for node in nodes(paper(entry.entry_id).model) if "pool_images" in node
    ]
    assert set(pools) <= {entry.official.pool_images}
    assert bool(pools) == (entry.loss_cls in LOSSES.values())


def test_every_deviation_of_a_setting_is_needed():
    found = [
        (entry.entry_id, each)
        for entry in WITH_CONFIG
        for each in audited(entry.entry_id).deviations
        if each.setting
    ]
    lines = [line for line in STATED if line.setting]
    idle = [line for line in lines if not any(line.explains(*each) for each in found)]
    assert lines and not idle
    assert all(len(line.reason) > 20 for line in STATED)


def test_every_deviation_is_of_a_row():
    names = [entry.entry_id for entry in WITH_CONFIG]
    assert not [line for line in STATED if not any(map(line.is_about, names))]
    patterns = {pattern for line in STATED for pattern in line.entries.split()}
    assert not [pattern for pattern in patterns if not filter_names(names, pattern)]


@pytest.mark.parametrize(
    ("entry", "parameters", "trained"),
    [
        ("alrp_ap_r101_500", 56_379_960, 56_052_216),
        ("alrp_ap_x101_32x8d_500", 100_622_136, 99_994_104),
        ("ext_alrp_ap_r50_500", 37_387_896, 37_112_312),
    ],
)
def test_numbers_of_parameters(entry, parameters, trained):
    """As counted in the official models: stem, first stage and all norm layers stay frozen."""
    assert CATALOGUE[entry].family == "alrp_ap"
    found = list(build_model(entry).parameters())
    assert sum(each.numel() for each in found) == parameters
    assert sum(each.numel() for each in found if each.requires_grad) == trained


# No source states the images of a step of these rows: as many as their learning rate is for.
UNKNOWN_BATCH = {"pap_ce_": 32, "ext_br_": 16}


def test_a_batch_that_no_source_states_fits_the_learning_rate():
    rows = [entry for entry in WITH_CONFIG if entry.official.batch.total == "unknown"]
    assert len(rows) == 24
    for entry in rows:
        wanted = next(n for start, n in UNKNOWN_BATCH.items() if entry.entry_id.startswith(start))
        wanted = 8 if entry.dataset == "cityscapes" else wanted
        assert paper(entry.entry_id).auto_scale_lr.base_batch_size == wanted, entry.entry_id
