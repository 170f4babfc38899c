"""The numbers of the short presets, where they take effect: in the resolved config of a row.

What a preset is for stands in the README and in `rankdet.catalogue.presets`; the values here are
those that the figures of the demo in the documentation were made with.
"""

import re
from dataclasses import asdict

import pytest

from rankdet.catalogue.presets import PRESETS, get_preset
from rankdet.datasets.digits import prepare_digits
from rankdet.models.build import load_config
from rankdet.training import run as run_module
from rankdet.training.resolve import resolve
from rankdet.training.shrink import nodes
from tests.parity import settings

MINI = dict(
    dataset="coco",
    iterations=60,
    batch_size=4,
    side=320,
    small_network=False,
    learning_rate=2e-4,
    score_threshold=1e-3,
    candidates=None,
    test_batch_size=None,
    channels_last=False,
    workers=1,
    validations=1,
    pool_images=None,
    trains=True,
)
VALUES = {
    "mini": MINI,
    "overfit": MINI,
    "demo": MINI
    | dict(
        dataset="digits",
        iterations=300,
        batch_size=16,
        side=128,
        small_network=True,
        learning_rate=4e-3,
        candidates=100,
        test_batch_size=10,
        channels_last=True,
        workers=0,
        validations=4,
    ),
    "smoke": MINI
    | dict(
        dataset="digits",
        iterations=2,
        batch_size=2,
        side=64,
        learning_rate=1e-4,
        workers=0,
        validations=0,
        pool_images=1,
    ),
}
WARM_UP = {"mini": 6, "overfit": 6, "demo": 30, "smoke": 1}  # a tenth, at most 100, at least 1
POOLS = {"mini": 4, "overfit": 4, "demo": 16, "smoke": 1}
# A row of every kind of head, data set and code base.
ROWS = (
    *("control_retinanet_r50", "rs_atss_r50", "rs_paa_r50", "alrp_mmdet_alrp_fovea_r50_500"),
    *("ext_alrp_ap_r50_500", "pap_pap_frcnn_r50", "alrp_mmdet_alrp_frcnn_r50_500"),
    *("rs_cascade_r50", "rs_mask_r50", "rs_mask_r50_lvis", "ext_br_brs_mask_r50_city"),
    *("rs_yolact_r50", "rs_solov2_r34_light"),
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepare_digits(tmp_path_factory.mktemp("data") / "digits", 0, 40, 2)


@pytest.fixture(scope="module")
def resolved(digits):
    return {(row, name): resolve(row, get_preset(name), digits) for row in ROWS for name in VALUES}


def of_rows_and_presets(function):
    function = pytest.mark.parametrize("preset", ["mini", "demo", "smoke"])(function)
    return pytest.mark.parametrize("row", ROWS)(function)


@pytest.mark.parametrize("name", VALUES)
def test_the_table(name):
    found = asdict(PRESETS[name])
    assert {key: found[key] for key in VALUES[name]} == VALUES[name]


@of_rows_and_presets
def test_schedule_and_optimizer(row, preset, resolved):
    config, wanted = resolved[row, preset], VALUES[preset]
    total, rise = wanted["iterations"], WARM_UP[preset]
    assert config.train_cfg == dict(
        type="IterBasedTrainLoop", max_iters=total, val_interval=total + 1
    )
    assert config.optim_wrapper == dict(
        type="OptimWrapper",
        optimizer=dict(type="AdamW", lr=wanted["learning_rate"], weight_decay=0.01),
        clip_grad=dict(max_norm=10.0, norm_type=2),
    )
    warm_up = dict(type="LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=rise)
    decay = dict(type="CosineAnnealingLR", by_epoch=False, begin=rise, end=total)
    decay |= dict(T_max=total - rise, eta_min_ratio=0.01)
    assert config.param_scheduler == [warm_up, decay]


@pytest.mark.parametrize("row", ["rs_atss_r50", "rs_mask_r50"])
def test_overfit_is_mini_on_other_images(row, resolved):
    assert resolved[row, "overfit"].to_dict() == resolved[row, "mini"].to_dict()


def test_a_long_short_run_warms_up_for_100_iterations(digits):
    config = resolve("rs_atss_r50", get_preset("mini", 3000), digits)
    assert config.param_scheduler[0].end == config.param_scheduler[1].begin == 100
    one = resolve("rs_atss_r50", get_preset("smoke", 1), digits)
    assert [step.type for step in one.param_scheduler] == ["LinearLR"]


@of_rows_and_presets
def test_batches_pools_and_images(row, preset, resolved):
    config, wanted = resolved[row, preset], VALUES[preset]
    loader = config.train_dataloader
    assert loader.batch_size == wanted["batch_size"]
    assert loader.sampler == dict(type="InfiniteSampler", shuffle=True)
    assert "batch_sampler" not in loader
    found = [node.pool_images for node in nodes(config.model) if "pool_images" in node]
    own = [node for node in nodes(load_config(row).model) if "pool_images" in node]
    assert found == [POOLS[preset]] * len(own)
    for split in ("train", "val", "test"):
        each = config[f"{split}_dataloader"]
        assert each.num_workers == wanted["workers"]
        steps = next(node.pipeline for node in nodes(each.dataset) if "ann_file" in node)
        kinds = [step.type for step in steps]
        assert [k for k in kinds if not k.startswith("Load")] == ["Resize", "PackDetInputs"]
        resize = steps[kinds.index("Resize")]
        assert tuple(resize.scale) == (wanted["side"],) * 2 and resize.keep_ratio is False


@of_rows_and_presets
def test_scores_of_a_short_training_are_low(row, preset, resolved):
    """Every threshold of the final detections; the published ones hide a short run's boxes."""
    testing = resolved[row, preset].model.test_cfg
    found = [node.score_thr for node in nodes(testing) if "score_thr" in node]
    assert found == [1e-3]
    if "filter_thr" in testing:
        assert (testing.filter_thr, testing.max_candidates) == (1e-3, 1000)


@of_rows_and_presets
def test_the_demo_compares_fewer_candidates(row, preset, resolved):
    """In the NMS of boxes of dense heads only, and it tests several images at a time."""
    config, own = resolved[row, preset], load_config(row).model.test_cfg
    testing = config.model.test_cfg
    if "filter_thr" in own or "nms_pre" not in own:  # matrix NMS; two stages
        assert testing.get("nms_pre") == own.get("nms_pre")
    else:
        assert testing.nms_pre == (100 if preset == "demo" else own.nms_pre)
    for split in ("val", "test"):
        size = 10 if preset == "demo" else load_config(row)[f"{split}_dataloader"].batch_size
        assert config[f"{split}_dataloader"].batch_size == size


@pytest.mark.parametrize(("preset", "chosen"), [("demo", {"channels_last": True}), ("smoke", {})])
def test_the_speed_option_of_a_preset_is_recorded(preset, chosen):
    settings = run_module._with_preset(run_module.Settings(), get_preset(preset))
    assert settings.speed.chosen == chosen
    asked = run_module.Settings(speed=run_module.Speed(channels_last=True, bf16=True))
    assert run_module._with_preset(asked, get_preset(preset)).speed == asked.speed


@of_rows_and_presets
def test_nothing_is_frozen_and_nothing_is_fetched(row, preset, resolved):
    config = resolved[row, preset]
    backbone = config.model.backbone
    assert config.get("load_from") is None and backbone.get("init_cfg") is None
    assert backbone.frozen_stages == -1 and backbone.norm_eval is False
    assert "norm_cfg" not in backbone or backbone.norm_cfg.requires_grad is True


@pytest.mark.parametrize("row", ROWS)
def test_only_the_demo_has_another_network(row, resolved):
    own = load_config(row).model
    for preset in ("mini", "smoke"):
        model = resolved[row, preset].model
        for key in ("type", "depth"):
            assert model.backbone[key] == own.backbone[key]
        assert model.neck == own.neck
    demo = resolved[row, "demo"].model
    small = demo.backbone
    assert (small.type, small.depth, small.base_channels, small.stem_channels) == (
        *("ResNet", 18),
        *(16, 16),
    )
    assert demo.neck.out_channels == 64
    for head in (demo.get("bbox_head", {}), demo.get("mask_head", {})):
        if "stacked_convs" in head:
            assert head.stacked_convs == 2 and head.norm_cfg.num_groups == 16
    if "rpn_head" in demo:
        assert demo.rpn_head.in_channels == demo.rpn_head.feat_channels == 64
        stages = demo.roi_head.bbox_head
        for head in stages if isinstance(stages, list) else [stages]:
            assert head.fc_out_channels == 256
        for settings in (demo.train_cfg.rpn_proposal, demo.test_cfg.rpn):
            assert (settings.nms_pre, settings.max_per_img) == (300, 60)
        assert demo.roi_head.bbox_roi_extractor.finest_scale == 28


@pytest.mark.parametrize(
    ("preset", "interval", "begin"),
    # 60 in one part, 300 in four; smoke is not measured at all: it would begin after its end.
    [("mini", 60, None), ("overfit", 60, None), ("demo", 75, None), ("smoke", 2, 3)],
)
def test_validations(preset, interval, begin, resolved, tmp_path):
    import copy

    config = copy.deepcopy(resolved["rs_atss_r50", preset])
    saved = run_module._set_hooks(config, get_preset(preset), tmp_path / "r.jsonl", "label")
    assert config.train_cfg.val_interval == saved == interval
    assert config.train_cfg.get("val_begin") == begin


def test_hooks_of_a_run(resolved, tmp_path):
    """The row's own hooks stay in front; mmengine's checkpoints, written in place, are off."""
    import copy

    config = copy.deepcopy(resolved["ext_alrp_ap_r50_500", "demo"])
    run_module._set_hooks(config, get_preset("demo"), tmp_path / "r.jsonl", "label")
    kinds = [hook["type"] for hook in config.custom_hooks]
    assert kinds[0] == "RenewSelfBalance"
    assert kinds[1:] == ["TrainingRecord"]
    assert {"sampler_seed", "param_scheduler"} <= set(config.default_hooks)
    assert config.default_hooks.checkpoint is None


@pytest.mark.parametrize("row", [row for row in ROWS if "alrp" in row])
@pytest.mark.parametrize("preset", ["mini", "demo", "smoke"])
def test_a_balance_is_renewed_once_per_epoch_of_the_run(row, preset, resolved):
    """40 images: every head of a row, not the last one only."""
    balances = [n.self_balance for n in nodes(resolved[row, preset].model) if "self_balance" in n]
    assert len(balances) == (2 if "frcnn" in row else 1)
    assert {each.period for each in balances} == {40 // VALUES[preset]["batch_size"]}
    assert {each.initial for each in balances} == {50.0}


@pytest.mark.parametrize("preset", ["paper", "published"])
def test_the_official_presets_change_no_number(preset):
    found = asdict(PRESETS[preset])
    for name in ("iterations", "batch_size", "side", "learning_rate", "score_threshold"):
        assert found[name] is None
    for name in ("workers", "pool_images", "shrink", "epochs"):
        assert found[name] is None
    assert PRESETS[preset].is_comparable and not found["small_network"]
    assert (found["dataset"], found["start_weights"]) == ("coco", "official")
    assert found["trains"] is (preset == "paper")


def leaves_of(config):
    found = config.to_dict()
    return {
        path: text
        for key in settings.READ
        if key in found
        for path, text in settings.leaves(key, found[key])
    }


@pytest.mark.parametrize("row", ROWS)
def test_a_rehearsal_is_the_official_run_in_small(row):
    """Sizes in pixels and the number of epochs; everything else is the official run's."""
    preset = PRESETS["rehearsal"]
    assert (preset.epochs, preset.is_comparable, preset.start_weights) == (2, False, "drawn")
    paper = leaves_of(resolve(row, get_preset("paper"), None))
    small = leaves_of(resolve(row, preset, None))
    assert set(paper) == set(small)
    other = {path for path in paper if paper[path] != small[path]}
    assert small["train_cfg.max_epochs"] == "2"
    other -= {"train_cfg.max_epochs"}
    assert other
    for path in other:
        assert ".pipeline." in path and "Resize" in paper[path].partition("(")[0]
        sizes = [
            [int(number) for number in re.findall(r"\d+", re.sub(r"\d\.\d+", "", text))]
            for text in (paper[path], small[path])
        ]
        assert [round(size / preset.shrink) for size in sizes[0]] == sizes[1]
