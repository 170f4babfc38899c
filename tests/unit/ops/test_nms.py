"""NMS keeps the boxes that compiled mmcv keeps, in its order, on random and adversarial sets."""

import itertools

import mmcv.ops
import numpy as np
import pytest
import torch

from rankdet.errors import InputError
from rankdet.ops import nms as plain

SETS = 10_000


def boxes_of(kind, count, random):
    """[count, 4] boxes; each kind is hard in its own way."""
    corners = random.uniform(0, 100, (count, 2))
    sizes = random.uniform(0, 60, (count, 2))
    if kind == "equal" and count:
        corners, sizes = (
            each[random.integers(0, 1 + count // 4, count)] for each in (corners, sizes)
        )
    if kind in ("grid", "zero area"):  # IoUs are ratios of small integers and coincide
        corners, sizes = np.round(corners / 10), np.round(sizes / 10)
    if kind == "zero area":
        sizes *= random.integers(0, 2, (count, 2))
    if kind == "turned over":
        sizes *= random.choice([-1, 1], (count, 2))
    if kind == "apart":  # as batched NMS moves the classes
        corners += 150 * random.integers(0, 1 + count // 3, count)[:, None]
    if kind == "touching":
        corners[:, 0], sizes[:, 0] = random.permutation(count) // 2, 1
    boxes = np.concatenate((corners, corners + sizes), 1).astype(np.float32)
    if kind == "not finite" and count:
        strange = [np.nan, np.inf, -np.inf, 3e38]
        for _ in range(1 + count // 5):
            boxes[random.integers(count), random.integers(4)] = random.choice(strange)
    return torch.from_numpy(boxes)


KINDS = ("spread", "equal", "grid", "zero area", "turned over", "apart", "touching", "not finite")


def scores_of(count, random):
    """[count]: half of the sets have ties."""
    scores = random.random(count, np.float32)
    return torch.from_numpy(np.round(scores, 1) if random.random() < 0.5 else scores)


def threshold_of(boxes, offset, random):
    """A usual threshold, or exactly the IoU of two boxes, in float32, or next to it."""
    usual = float(random.choice([0, 0.3, 0.5, 0.6, 0.7, 1]))
    if len(boxes) < 2 or random.random() < 0.3:
        return usual
    found = iou(*boxes[random.permutation(len(boxes))[:2]].numpy(), offset)
    found = np.nextafter(found, np.float32(random.choice([found, 0, 2])))
    return float(found) if found > 0 else usual


def iou(one, other, offset):
    """IoU of two boxes in float32, in the order of mmcv's operations."""
    zero, offset = np.float32(0), np.float32(offset)
    with np.errstate(all="ignore"):
        width = np.maximum(
            zero, np.minimum(one[2], other[2]) - np.maximum(one[0], other[0]) + offset
        )
        height = np.maximum(
            zero, np.minimum(one[3], other[3]) - np.maximum(one[1], other[1]) + offset
        )
        areas = [(box[2] - box[0] + offset) * (box[3] - box[1] + offset) for box in (one, other)]
        return width * height / (areas[0] + areas[1] - width * height)


def one_by_one(boxes, scores, threshold, offset):
    """The definition: each box in turn, against those that were kept."""
    kept = []
    for index in scores.sort(0, descending=True)[1].tolist():
        overlaps = [iou(boxes[index].numpy(), boxes[other].numpy(), offset) for other in kept]
        if not any(overlap > np.float32(threshold) for overlap in overlaps):
            kept.append(index)
    return kept


def problems(count, largest=60):
    """Boxes, scores, threshold and offset: all kinds in turn, from empty to ``largest`` boxes."""
    random = np.random.default_rng(count)
    for kind, offset in itertools.islice(itertools.cycle(itertools.product(KINDS, (0, 1))), count):
        boxes = boxes_of(kind, int(random.integers(0, largest)), random)
        yield (
            kind,
            boxes,
            scores_of(len(boxes), random),
            threshold_of(boxes, offset, random),
            offset,
        )


def assert_same(wanted, found, problem):
    assert list(wanted) == list(found), (
        f"{problem[0]}, threshold {problem[3]!r}, offset {problem[4]}"
    )


def test_ten_thousand_sets_have_compiled_mmcvs_indices(ours, compiled):
    removed = 0
    for problem in problems(SETS):
        _, boxes, scores, threshold, offset = problem
        wanted = compiled.nms(boxes, scores, iou_threshold=threshold, offset=offset)
        found = ours.nms(boxes, scores, iou_threshold=threshold, offset=offset)
        assert_same(wanted.tolist(), found.tolist(), problem)
        removed += len(boxes) - len(wanted)
    assert removed > 5 * SETS  # the sets are no easy ones


def test_large_sets_have_compiled_mmcvs_indices(ours, compiled):
    for problem in problems(300, largest=2000):
        _, boxes, scores, threshold, offset = problem
        wanted = compiled.nms(boxes, scores, iou_threshold=threshold, offset=offset)
        found = ours.nms(boxes, scores, iou_threshold=threshold, offset=offset)
        assert_same(wanted.tolist(), found.tolist(), problem)


def test_the_definition_box_by_box(ours):
    for problem in problems(400, largest=25):
        _, boxes, scores, threshold, offset = problem
        found = ours.nms(boxes, scores, iou_threshold=threshold, offset=offset)
        assert_same(one_by_one(boxes, scores, threshold, offset), found.tolist(), problem)


@pytest.mark.parametrize("block", [3, 7, 2048])
def test_the_way_of_other_devices(block, monkeypatch):
    """It compares products; on boxes of integers both ways are exact for these thresholds."""
    monkeypatch.setattr(plain, "_DEVICE_BLOCK", block)
    for kind, boxes, scores, _, offset in problems(400, largest=25):
        if kind not in ("grid", "touching", "equal", "zero area"):
            continue
        boxes = boxes.round()
        for threshold in (0.25, 0.5, 0.75):
            order = scores.sort(0, descending=True)[1]
            kept = plain._kept_on_device(boxes[order], threshold, offset)
            wanted = one_by_one(boxes, scores, threshold, offset)
            assert order[kept].tolist() == wanted


def test_chains_longer_than_the_rounds_between_two_reads(monkeypatch):
    """Each box removes the next one only: every second box stays."""
    left = torch.arange(0, 200, 4.0)
    boxes = torch.stack((left, 0 * left, left + 6, 0 * left + 1), 1)
    every_second = list(range(0, len(boxes), 2))
    assert plain._kept_on_device(boxes, 0.1, 0).tolist() == every_second
    assert plain.nms(boxes, -left, 0.1, 0).tolist() == every_second


@pytest.mark.parametrize("offset", [0, 1])
def test_score_filter_and_largest_number(ours, compiled, through_mmcv, offset):
    generator = torch.Generator().manual_seed(offset)
    for number, score, count in itertools.product((-1, 1, 20), (0, 0.5, 2), (0, 1, 200)):
        corners = torch.rand(count, 2, generator=generator) * 50
        boxes = torch.cat((corners, corners + torch.rand(count, 2, generator=generator) * 50), 1)
        scores = torch.rand(count, generator=generator)
        results = []
        for functions in (compiled, ours):
            through_mmcv("nms", functions)
            results.append(mmcv.ops.nms(boxes, scores, 0.5, offset, score, number))
        for wanted, found in zip(*results, strict=True):
            assert torch.equal(wanted, found)


@pytest.mark.parametrize("options", [{}, {"class_agnostic": True}, {"split_thr": 50}])
def test_batched_nms(ours, compiled, through_mmcv, options):
    generator = torch.Generator().manual_seed(3)
    for classes in (1, 3, 80):
        corners = torch.rand(600, 2, generator=generator) * 300
        boxes = torch.cat((corners, corners + torch.rand(600, 2, generator=generator) * 200), 1)
        scores = (torch.rand(600, generator=generator) * 50).round() / 50
        labels = torch.randint(classes, (600,), generator=generator)
        results = []
        for functions in (compiled, ours):
            through_mmcv("nms", functions)
            settings = dict(type="nms", iou_threshold=0.5, **options)
            results.append(mmcv.ops.batched_nms(boxes, scores, labels, settings))
        for wanted, found in zip(*results, strict=True):
            assert torch.equal(wanted, found)


def test_no_box_is_compared_with_itself_and_negative_thresholds_remove_all_others(ours):
    boxes = torch.tensor([[0.0, 0, 1, 1], [5, 5, 6, 6], [9, 9, 9, 9]])
    assert ours.nms(boxes, torch.tensor([0.1, 0.3, 0.2]), -1.0, 0).tolist() == [1]


def test_empty_sets(ours):
    kept = ours.nms(torch.empty(0, 4), torch.empty(0), 0.5, 0)
    assert kept.shape == (0,) and kept.dtype == torch.int64


def test_other_types_are_refused_as_by_mmcv(ours, compiled):
    boxes = torch.zeros(1, 4, dtype=torch.float64)
    with pytest.raises(RuntimeError):
        compiled.nms(boxes, torch.zeros(1), iou_threshold=0.5, offset=0)
    with pytest.raises(InputError, match="float32 boxes"):
        ours.nms(boxes, torch.zeros(1), iou_threshold=0.5, offset=0)


def test_boxes_that_require_gradients(ours):
    boxes = torch.tensor([[0.0, 0, 1, 1]], requires_grad=True)
    assert ours.nms(boxes, torch.ones(1, requires_grad=True), 0.5, 0).tolist() == [0]
