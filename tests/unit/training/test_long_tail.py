"""The LVIS rows under the presets: wrapped data sets, format, evaluation."""

import json

import pytest

from rankdet.catalogue.presets import Preset, get_preset
from rankdet.datasets.digits import prepare_digits
from rankdet.training import shrink
from rankdet.training.predict import predict
from rankdet.training.resolve import resolve
from rankdet.training.run import train

ENTRY = "rs_mask_r50_lvis"
TINY = Preset(
    "demo", "for this test", "digits", 2, 2, 64, True, 1e-3, score_threshold=1e-3, workers=0
)


@pytest.fixture(scope="module")
def long_tail(tmp_path_factory):
    return prepare_digits(tmp_path_factory.mktemp("data") / "lvis", 0, 8, 3, long_tail=True)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return prepare_digits(tmp_path_factory.mktemp("data") / "digits", 0, 4, 2)


def test_the_data_set_inside_the_wrapper_is_connected(long_tail):
    config = resolve(ENTRY, get_preset("smoke"), long_tail)
    outer = config.train_dataloader.dataset
    assert (outer.type, outer.oversample_thr) == ("ClassBalancedDataset", 1e-3)
    assert "pipeline" not in outer and len(outer.dataset.pipeline) == 4
    assert outer.dataset.ann_file == str(long_tail.annotations("train"))
    assert config.val_evaluator.protocol == "lvis"
    assert config.model.roi_head.mask_head.num_classes == 10


def test_any_row_reads_a_set_in_lvis_format(long_tail, plain):
    config = resolve("rs_mask_r50", get_preset("smoke"), long_tail)
    assert config.train_dataloader.dataset.type == "LvisDataset"
    config = resolve("rs_mask_r50", get_preset("smoke"), plain)
    assert config.train_dataloader.dataset.type == "CocoDataset"
    assert config.val_evaluator.protocol == "coco"


def test_short_presets_start_from_nothing(plain):
    entry = "ext_br_rs_mask_r50_city"
    assert resolve(entry, get_preset("paper"), plain).load_from.startswith("https://")
    config = resolve(entry, get_preset("smoke"), plain)
    assert config.load_from is None
    assert not any("init_cfg" in node for node in shrink.nodes(config.model.backbone))


def test_trains_and_measures_rare_common_and_frequent_classes(long_tail, tmp_path):
    out = tmp_path / "checkpoint.pth"
    train(ENTRY, TINY, long_tail, tmp_path / "work", out)
    metrics = predict(
        ENTRY, TINY, long_tail, out, tmp_path / "detections.json", tmp_path / "predict"
    )
    for iou_type in ("bbox", "segm"):
        assert {f"rankdet/{iou_type}/{name}" for name in ("AP", "APf", "oLRP")} <= set(metrics)
    found = json.loads((tmp_path / "detections.json").read_text())
    assert found and all("segmentation" in row for row in found)
