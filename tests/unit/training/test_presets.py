"""Presets transform the entry's config and leave its loss, assigner, coder and head alone."""

import pytest

from rankdet.catalogue import load_catalogue
from rankdet.catalogue.presets import PRESETS, get_preset
from rankdet.datasets.digits import prepare_digits
from rankdet.errors import InputError
from rankdet.models.build import load_config
from rankdet.training import shrink
from rankdet.training.resolve import resolve

ENTRIES = [entry.entry_id for entry in load_catalogue() if entry.config_path.exists()]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepare_digits(tmp_path_factory.mktemp("data") / "digits", 0, 4, 2)


def heads(config):
    """Return what a preset must not touch: types, losses, assigners, samplers, coders."""
    model = config.model
    found = []
    for part in ("bbox_head", "rpn_head", "roi_head", "mask_head", "train_cfg"):
        for node in shrink.nodes(model.get(part) or {}):
            for key in ("loss_cls", "loss_bbox", "assigner", "sampler", "bbox_coder"):
                if key in node:
                    found.append((part, key, node[key].to_dict()))
            if str(node.get("type", "")).endswith("Head"):
                found.append((part, "type", node.type))
    return found


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("preset", ["mini", "demo", "smoke"])
def test_the_row_stays_the_row(entry, preset, digits):
    own, changed = load_config(entry), resolve(entry, get_preset(preset), digits)
    assert heads(own) and heads(own) == heads(changed)


@pytest.mark.parametrize("entry", ENTRIES)
def test_paper_changes_nothing_but_the_data(entry, digits):
    own, paper = load_config(entry), resolve(entry, get_preset("paper"), digits)
    for key in ("optim_wrapper", "param_scheduler", "train_cfg", "train_pipeline"):
        assert own[key] == paper[key]
    assert own.model.backbone == paper.model.backbone
    assert own.train_dataloader.batch_size == paper.train_dataloader.batch_size


def test_smoke_keeps_the_full_width_and_demo_does_not(digits):
    smoke = resolve("rs_atss_r50", get_preset("smoke"), digits).model
    demo = resolve("rs_atss_r50", get_preset("demo"), digits).model
    assert (smoke.backbone.depth, smoke.bbox_head.feat_channels) == (50, 256)
    assert (demo.backbone.depth, demo.bbox_head.feat_channels) == (18, shrink.WIDTH)
    assert "init_cfg" not in smoke.backbone and smoke.backbone.frozen_stages == -1
    assert smoke.bbox_head.num_classes == demo.bbox_head.num_classes == 10


def test_a_pool_is_the_batch_of_the_short_presets_and_the_official_one_on_paper(digits):
    for name, images in (("paper", 4), ("demo", PRESETS["demo"].batch_size)):
        config = resolve("rs_atss_r50", get_preset(name), digits)
        assert config.model.bbox_head.pool_images == images


@pytest.mark.parametrize(
    ("entry", "published"),
    # None: the AP-Loss code base renews it when an epoch ends, however long it was.
    [("alrp_mmdet_alrp_retinanet_r50_500", 3665), ("ext_alrp_ap_r50_500", None)],
)
def test_the_balance_is_renewed_once_per_epoch_of_the_run(entry, published, digits):
    periods = {
        name: resolve(entry, get_preset(name), digits).model.bbox_head.self_balance.get("period")
        for name in ("paper", "smoke")
    }
    assert periods == {"paper": published, "smoke": 4 // PRESETS["smoke"].batch_size}


def test_only_the_official_runs_may_stand_beside_published_figures():
    beside = [preset.name for preset in PRESETS.values() if preset.is_comparable]
    assert beside == ["paper", "published"]


def test_unknown_preset_and_row_without_config():
    with pytest.raises(InputError, match="nearest: demo"):
        get_preset("demoo")
    with pytest.raises(InputError, match=r"no .*pap_autoloss_zero_frcnn_r50\.py"):
        load_config("pap_autoloss_zero_frcnn_r50")


def test_iterations_of_a_short_preset_can_be_changed():
    assert get_preset("mini", 700).iterations == 700
    assert get_preset("mini").iterations == PRESETS["mini"].iterations
    with pytest.raises(InputError, match="keeps the entry's epochs"):
        get_preset("paper", 700)
