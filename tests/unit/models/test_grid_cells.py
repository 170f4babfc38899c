"""SOLOv2's cells: each belongs to the first object that claims it."""

import pytest
import torch

from rankdet.models.heads.solov2 import GridCells, assign_cells, centers_of_mass

SIDE = 64


def filled(*boxes):
    """Return masks that fill their boxes (n, SIDE, SIDE)."""
    masks = torch.zeros(len(boxes), SIDE, SIDE, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    return masks


def assign(boxes, masks=None, grid=8, scales=(1, 64)):
    masks = filled(*boxes) if masks is None else masks
    return assign_cells(torch.tensor(boxes).float(), masks, grid, scales, (SIDE, SIDE), 0.2)


def test_an_object_has_the_cells_around_its_centre():
    # Centre of the pixels: 35.5; the box of 0.2 x 40 around it spans 31.5 to 39.5 pixels.
    found = assign([(16, 16, 56, 56)])
    assert [(c // 8, c % 8) for c in found.cells.tolist()] == [(3, 3), (3, 4), (4, 3), (4, 4)]
    assert found.objects.tolist() == [0, 0, 0, 0]


def test_no_more_than_three_by_three_cells():
    found = assign([(0, 0, 64, 64)], grid=32)
    assert len(found.cells) == 9


def test_the_first_object_keeps_a_cell_that_two_claim():
    boxes = [(16, 16, 48, 48), (16, 24, 56, 56)]
    first, second = assign([boxes[0]]), assign([boxes[1]])
    shared = set(first.cells.tolist()) & set(second.cells.tolist())
    assert shared and set(second.cells.tolist()) - shared
    for order in (boxes, boxes[::-1]):
        found = assign(order)
        owner = dict(zip(found.cells.tolist(), found.objects.tolist(), strict=True))
        assert {owner[cell] for cell in shared} == {0}
        assert sorted(owner) == found.cells.tolist()


def test_the_centre_is_that_of_the_mask_not_of_the_box():
    mask = filled((0, 0, 16, 16))
    found = assign([(0, 0, 64, 64)], mask)
    assert found.cells.tolist() == [0, 1, 8, 9]


@pytest.mark.parametrize("scales", [(1, 31.9), (32.1, 64)])
def test_an_object_of_another_size_belongs_to_another_level(scales):
    assert len(assign([(16, 16, 48, 48)], scales=scales).cells) == 0
    assert len(assign([(16, 16, 48, 48)], scales=(32, 32)).cells) > 0


def test_an_object_whose_mask_is_cut_away_claims_nothing():
    boxes = [(16, 16, 48, 48), (16, 16, 48, 48)]
    masks = filled(*boxes)
    masks[0] = False
    found = assign(boxes, masks)
    assert set(found.objects.tolist()) == {1}


def test_an_image_without_objects_has_no_cells():
    found = assign_cells(
        torch.zeros(0, 4), filled().view(0, SIDE, SIDE), 8, (1, 64), (SIDE, SIDE), 0.2
    )
    assert found.cells.shape == found.objects.shape == found.object_order().shape == (0,)


def test_object_order_lists_cells_object_by_object():
    found = GridCells(torch.tensor([3, 5, 8, 9]), torch.tensor([1, 0, 1, 0]))
    assert found.cells[found.object_order()].tolist() == [5, 9, 3, 8]


def test_centres_of_mass():
    masks = filled((2, 4, 6, 5), (10, 0, 11, 64))
    assert centers_of_mass(masks).tolist() == [[3.5, 4.0], [10.0, 31.5]]
