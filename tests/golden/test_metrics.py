"""Recorded metrics of pycocotools, lvis, faster-coco-eval and the oLRP toolkit, every number."""

import json

import pytest

from rankdet.evaluation import evaluate
from tests.golden import replay_metrics as replay

SETS = replay.sets_of(replay.golden_folder())
CASES = [
    pytest.param(folder, protocol, id=f"{folder.name}-{protocol}")
    for folder in SETS
    if folder.name != "s7_gt_id0"
    for protocol in replay.PROTOCOLS
    if protocol in replay.load(folder)[2]
]


def test_no_set_is_missing():
    assert len(SETS) == 12
    assert len(CASES) == 26


@pytest.mark.parametrize(("folder", "protocol"), CASES)
def test_every_recorded_number(folder, protocol):
    rows = list(replay.comparisons(folder, protocol))
    wrong = [row for row in rows if replay.difference(row[1], row[2]) > replay.TOLERANCE]
    assert rows
    assert not wrong


# cocoapi, results/val2014_fake_eval_res.txt, as printed there.
PUBLISHED = {
    "bbox": "0.505 0.697 0.573 0.586 0.519 0.501 0.387 0.594 0.595 0.640 0.566 0.564",
    "segm": "0.320 0.562 0.299 0.387 0.310 0.327 0.268 0.415 0.417 0.469 0.377 0.381",
}
NAMES = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_published_print_out_of_cocoapi(iou_type):
    truth, rows, _ = replay.load(replay.golden_folder() / f"fake100_{iou_type}")
    numbers = evaluate(truth, rows, iou_type).numbers
    assert " ".join(f"{numbers[name]:.3f}" for name in NAMES) == PUBLISHED[iou_type]


def test_tiny_set_by_hand():
    """The worked example: oLRP 4.37333 / 6, Loc .365 / 3, FP 1.83333 / 4, FN 3 / 6."""
    truth, rows, _ = replay.load(replay.golden_folder() / "s1_tiny")
    numbers = evaluate(truth, replay.without(rows, "segmentation")).numbers
    assert numbers["oLRP"] == pytest.approx((0.19 / 0.3 + 3 + 0.2 + 0.54) / 6, abs=1e-12)
    assert numbers["oLRP_loc"] == pytest.approx(0.365 / 3, abs=1e-12)
    assert numbers["oLRP_fp"] == pytest.approx((1 / 3 + 1 + 0.5) / 4, abs=1e-12)
    assert numbers["oLRP_fn"] == pytest.approx(0.5, abs=1e-12)


def test_annotation_ids_from_0_are_renumbered():
    """The toolkits read a match with id 0 as no match; the same set with ids from 1 is s1_tiny."""
    truth, rows, recorded = replay.load(replay.golden_folder() / "s7_gt_id0")
    _, same_rows, expected = replay.load(replay.golden_folder() / "s1_tiny")
    assert rows == same_rows
    with pytest.warns(UserWarning, match="annotation ids start at 0: renumbered from 1"):
        numbers = evaluate(truth, rows).numbers
    wanted = expected["bbox"]["pycocotools"]["stats"]["AP"]
    assert numbers["AP"] == pytest.approx(wanted, abs=1e-12)
    assert recorded["bbox"]["pycocotools"]["stats"]["AP"] < wanted


def test_a_miss_fails_the_replay(tmp_path, capsys):
    folder = tmp_path / "wrong"
    folder.mkdir()
    truth, rows, expected = replay.load(replay.golden_folder() / "s1_tiny")
    expected["bbox"]["pycocotools"]["stats"]["AP"] += 1e-8
    for name, value in (("gt", truth), ("dt", rows), ("expected", expected)):
        (folder / f"{name}.json").write_text(json.dumps(value))
    assert replay.main(str(tmp_path)) == 1
    printed = capsys.readouterr().out
    assert "pycocotools AP: recorded" in printed
    assert "2 of 3 agree" in printed
