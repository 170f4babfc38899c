"""What makes two runs the same run, and what reaches the random numbers and several processes."""

import copy
import json
import random

import numpy as np
import pytest
import torch

from rankdet.catalogue.presets import Preset, get_preset
from rankdet.datasets.digits import prepare_digits
from rankdet.training import run as run_module
from rankdet.training import runner as runner_module
from rankdet.training.processes import share_batch
from rankdet.training.resolve import resolve
from rankdet.training.runner import prepare_runner
from rankdet.training.shrink import nodes

TINY = Preset(
    "demo", "for this test", "digits", 4, 2, 64, True, 1e-3, score_threshold=1e-3, workers=0
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepare_digits(tmp_path_factory.mktemp("data") / "digits", 0, 6, 2)


class Reached(Exception):
    """What was to be seen was seen; no training follows."""


def test_a_run_passes_its_settings_to_the_runner(digits, tmp_path, monkeypatch):
    seen = {}

    def runner(config, work_dir, seed, workers):
        seen.update(work_dir=work_dir, seed=seed, workers=workers)
        raise Reached

    monkeypatch.setattr(run_module, "prepare_runner", runner)
    with pytest.raises(Reached):
        run_module.train(
            "control_atss_r50",
            TINY,
            digits,
            tmp_path / "w",
            tmp_path / "c.pth",
            run_module.Settings(seed=7, workers=3),
        )
    assert seen == dict(work_dir=tmp_path / "w", seed=7, workers=3)


def test_the_seed_of_a_run_is_in_its_settings(digits, tmp_path, monkeypatch):
    def runner(*arguments):
        raise Reached

    monkeypatch.setattr(run_module, "prepare_runner", runner)
    marks = []
    for seed in (0, 1, 0):
        with pytest.raises(Reached):
            run_module.train(
                "control_atss_r50",
                TINY,
                digits,
                tmp_path / "w",
                tmp_path / "c.pth",
                run_module.Settings(seed=seed),
            )
        marks.append(json.loads((tmp_path / "w" / "run_settings.json").read_text())["sha256"])
    assert marks[0] == marks[2] != marks[1]


def test_the_runner_gets_what_it_is_given(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(runner_module.Runner, "from_cfg", lambda config: config)
    config = resolve("rs_atss_r50", TINY, digits)
    config = prepare_runner(config, tmp_path, 7, 3)
    assert config.randomness == dict(seed=7)
    assert config.work_dir == str(tmp_path)
    assert config.default_scope == "mmdet"
    for name in ("train", "val", "test"):
        loader = config[f"{name}_dataloader"]
        assert (loader.num_workers, loader.persistent_workers) == (3, False)
    assert config.log_processor.by_epoch is False
    paper = resolve("rs_atss_r50", get_preset("paper"), digits)
    paper.model.backbone.init_cfg = None
    own = paper.train_dataloader.num_workers
    paper = prepare_runner(paper, tmp_path, 0, None)
    assert paper.log_processor.by_epoch is True
    assert paper.train_dataloader.num_workers == own


def drawn(digits, folder, seed):
    """Return the random numbers after a runner was built, and a weight that it drew."""
    config = resolve("control_atss_r50", TINY, digits)
    runner = prepare_runner(config, folder, seed, 0)
    weight = runner.model.bbox_head.atss_reg.weight.detach().clone()
    return random.random(), np.random.rand(), float(torch.rand(1)), weight, runner.seed


def test_the_seed_decides_the_random_numbers(digits, tmp_path):
    first, again, other = (
        drawn(digits, tmp_path / str(number), seed) for number, seed in enumerate((3, 3, 4))
    )
    assert first[:3] == again[:3] and torch.equal(first[3], again[3])
    assert all(a != b for a, b in zip(first[:3], other[:3], strict=True))
    assert not torch.equal(first[3], other[3])
    assert (first[4], other[4]) == (3, 4)


# Rows with a balance of their own: dense, FoveaBox, two-stage (two of them), ATSS, AP-Loss code.
BALANCED = {
    "alrp_mmdet_alrp_retinanet_r50_500": 1,
    "alrp_mmdet_alrp_atss_r101_800": 1,
    "alrp_mmdet_alrp_fovea_r50_500": 1,
    "alrp_mmdet_alrp_frcnn_r50_500": 2,
    "ext_alrp_ap_r50_500": 1,
}


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("entry", BALANCED)
def test_every_balance_of_several_processes_is_one(entry, world, digits, monkeypatch):
    """Each process would hold a weight of its own: the processes would train different losses."""
    from mmdet.registry import MODELS

    monkeypatch.setenv("LOCAL_RANK", "0")
    config = copy.deepcopy(resolve(entry, get_preset("paper"), None))
    share_batch(config, config.auto_scale_lr.base_batch_size, world)
    balances = [node.self_balance for node in nodes(config.model) if "self_balance" in node]
    assert len(balances) == BALANCED[entry]
    assert [bool(each.get("reduce")) for each in balances] == [world > 1] * len(balances)
    parts = [config.model[name] for name in ("bbox_head", "rpn_head") if name in config.model]
    if "roi_head" in config.model:
        parts.append(config.model.roi_head.bbox_head)
    for part in parts:
        assert MODELS.build(part).self_balance.reduce is (world > 1)


@pytest.mark.parametrize("world", [1, 2])
def test_processes_share_gradients_and_nothing_else(world, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    config = copy.deepcopy(resolve("rs_mask_r50", get_preset("paper"), None))
    share_batch(config, 16, world)
    assert config.train_dataloader.batch_size == 16 // world
    wrapper = config.get("model_wrapper_cfg")
    if world == 1:
        assert wrapper is None
        return
    assert wrapper.type == "MMDistributedDataParallel"
    # A rank without objects has no gradient in its mask head.
    assert wrapper.find_unused_parameters is True and wrapper.broadcast_buffers is False


DATA_ROWS = {  # -> what is measured, classes of the heads that count them
    "rs_atss_r50": ["bbox"],
    "rs_cascade_r50": ["bbox"],
    "rs_mask_r50": ["bbox", "segm"],
    "rs_mask_r50_lvis": ["bbox", "segm"],
    "rs_yolact_r50": ["bbox", "segm"],
    "rs_solov2_r34_light": ["segm"],
    "ext_br_rs_mask_r50_city": ["bbox", "segm"],
    "ext_ap_r50_500": ["bbox"],
}


@pytest.mark.parametrize("preset", ["paper", "demo"])
@pytest.mark.parametrize("entry", DATA_ROWS)
def test_data_stand_where_they_belong(entry, preset, digits):
    """Training sees train only, validation and test see val; one evaluator for both."""
    config = resolve(entry, get_preset(preset), digits)
    for name, split in (("train", "train"), ("val", "val"), ("test", "val")):
        found = [n for n in nodes(config[f"{name}_dataloader"].dataset) if "ann_file" in n]
        assert len(found) == 1
        assert found[0].ann_file == str(digits.annotations(split))
        assert found[0].data_prefix == dict(img=f"{digits.images(split)}/")
        assert found[0].data_root == "" and len(found[0].metainfo["classes"]) == 10
        assert found[0].get("test_mode", False) is (name != "train")
    assert digits.annotations("train") != digits.annotations("val")
    wanted = dict(
        type="RankdetMetric",
        ann_file=str(digits.annotations("val")),
        iou_types=DATA_ROWS[entry],
        protocol=digits.format,
        category_ids=digits.category_ids,
    )
    assert config.val_evaluator == config.test_evaluator == wanted
    classes = [node.num_classes for node in nodes(config.model) if "num_classes" in node]
    assert classes and {count for count in classes if count != 1} == {10}
    assert config.model.get("rpn_head", {}).get("num_classes", 1) == 1


@pytest.mark.parametrize(
    ("entry", "preset", "total"),
    [
        ("rs_atss_r50", "paper", 16),  # the official batch, whatever one GPU of it had
        ("pap_pap_retinanet_r50", "paper", 64),
        ("ext_br_rs_mask_r50_city", "paper", 8),
        ("rs_atss_r50", "smoke", 2),
    ],
)
def test_a_step_sees_the_whole_official_batch(entry, preset, total, digits, tmp_path, monkeypatch):
    seen = []

    def share(config, images, world, passes):
        seen.append((images, world, passes))
        raise Reached

    monkeypatch.setattr(run_module.processes, "share_batch", share)
    monkeypatch.setattr(run_module, "use_local_weights", lambda *arguments: None)
    with pytest.raises(Reached):
        run_module.train(
            entry,
            get_preset(preset),
            digits,
            tmp_path / "w",
            tmp_path / "c.pth",
            run_module.Settings(passes=3),
        )
    assert seen == [(total, 1, 3)]
