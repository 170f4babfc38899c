"""Boxes with last pixels are boxes with edges, one pixel shorter: equivalences with mmdet."""

import pytest
import torch
from mmdet.models.task_modules.assigners import MaxIoUAssigner
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from mmdet.models.task_modules.prior_generators import AnchorGenerator
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData

from rankdet.errors import InputError
from rankdet.models.ap_code.geometry import (
    BestAnchorAssigner,
    PixelAnchorGenerator,
    PixelDeltaXYWHBBoxCoder,
    PixelOverlaps2D,
    to_edges,
    to_pixels,
)

STDS = [0.1, 0.1, 0.2, 0.2]
SETTINGS = dict(octave_base_scale=4, scales_per_octave=2, ratios=[0.5, 1.0, 2.0], strides=[8, 16])


def boxes(count, seed):
    """Return boxes with edges, at least two pixels wide (count, 4)."""
    generator = torch.Generator().manual_seed(seed)
    corners = 80 * torch.rand(count, 2, generator=generator, dtype=torch.float64)
    extent = 2 + 60 * torch.rand(count, 2, generator=generator, dtype=torch.float64)
    return torch.cat([corners, corners + extent], 1)


def test_conventions_are_inverse():
    edges = boxes(5, 0)
    assert torch.equal(to_edges(to_pixels(edges)), edges)
    assert torch.equal(to_pixels(edges)[:, 2:], edges[:, 2:] - 1)


def test_overlaps_are_those_of_the_edges():
    first, second = boxes(20, 0), boxes(30, 1)
    found = PixelOverlaps2D()(to_pixels(first), to_pixels(second))
    torch.testing.assert_close(found, bbox_overlaps(first, second))
    with pytest.raises(InputError, match="mode='iou'; got 'iof'"):
        PixelOverlaps2D()(first, second, mode="iof")


def test_encoding_is_that_of_the_edges_and_decoding_its_inverse():
    anchors, truth = boxes(40, 0), boxes(40, 1)
    coder = PixelDeltaXYWHBBoxCoder(target_stds=STDS)
    deltas = coder.encode(to_pixels(anchors), to_pixels(truth))
    mmdets = DeltaXYWHBBoxCoder(target_stds=STDS).encode(anchors, truth)
    torch.testing.assert_close(deltas.float(), mmdets, rtol=1e-5, atol=1e-5)
    found = coder.decode(to_pixels(anchors), deltas)
    torch.testing.assert_close(found, to_pixels(truth))


def test_a_decoded_box_has_a_pixel_and_stays_in_the_image():
    coder = PixelDeltaXYWHBBoxCoder(target_stds=STDS)
    anchor = torch.tensor([[10.0, 10.0, 19.0, 19.0]])
    tiny = coder.decode(anchor, torch.tensor([[0.0, 0.0, -50.0, -50.0]]))
    assert torch.equal(tiny, torch.tensor([[14.5, 14.5, 14.5, 14.5]]))
    huge = coder.decode(anchor, torch.tensor([[0.0, 0.0, 50.0, 50.0]]), max_shape=(30, 40))
    assert torch.equal(huge, torch.tensor([[0.0, 0.0, 39.0, 29.0]]))


def test_anchors_are_mmdets_around_the_middle_of_a_cell():
    ours = PixelAnchorGenerator(**SETTINGS).grid_priors([(3, 4), (2, 2)])
    theirs = AnchorGenerator(center_offset=0.5, **SETTINGS).grid_priors(
        [(3, 4), (2, 2)], device="cpu"
    )
    for level, expected in zip(ours, theirs, strict=True):
        assert level.dtype == torch.float64
        torch.testing.assert_close(to_edges(level).float(), expected, rtol=1e-6, atol=1e-5)


def assign(kind, priors, truth, **settings):
    assigner = kind(
        pos_iou_thr=0.5, neg_iou_thr=0.4, iou_calculator=dict(type="PixelOverlaps2D"), **settings
    )
    objects = InstanceData(bboxes=truth, labels=torch.arange(len(truth)))
    return assigner.assign(InstanceData(priors=priors), objects)


def test_a_best_anchor_keeps_the_object_it_overlaps_most():
    priors = torch.tensor([[0.0, 0.0, 9.0, 9.0], [100.0, 100.0, 109.0, 109.0]])
    # The second object is small: its best anchor overlaps the first one more.
    truth = torch.tensor([[0.0, 0.0, 9.0, 7.0], [0.0, 8.0, 9.0, 9.0]])
    ours = assign(BestAnchorAssigner, priors, truth)
    assert ours.gt_inds.tolist() == [1, 0] and ours.labels.tolist() == [0, -1]
    assert assign(MaxIoUAssigner, priors, truth).gt_inds[0] == 2


def test_all_tied_best_anchors_are_positive_however_small_their_overlap():
    priors = torch.tensor(
        [[0.0, 0.0, 99.0, 99.0], [0.0, 0.0, 99.0, 99.0], [50.0, 50.0, 149.0, 149]]
    )
    tiny = torch.tensor([[10.0, 10.0, 11.0, 11.0]])
    assert assign(BestAnchorAssigner, priors, tiny).gt_inds.tolist() == [1, 1, 0]


def test_an_object_that_meets_no_anchor_takes_none():
    priors = torch.tensor([[0.0, 0.0, 9.0, 9.0]])
    far = torch.tensor([[50.0, 50.0, 60.0, 60.0]])
    assert assign(BestAnchorAssigner, priors, far).gt_inds.tolist() == [0]
    assert assign(BestAnchorAssigner, priors, far[:0]).gt_inds.tolist() == [0]
