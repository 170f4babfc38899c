"""Whole batches of one orientation."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rankdet.errors import InputError
from rankdet.models.data import GroupBatchSampler

SIZES = [(4, 3)] * 11 + [(3, 4)] * 5 + [(3, 3)] * 2  # 11 wide, 7 high or square


class Images:
    def __len__(self):
        return len(SIZES)

    def get_data_info(self, row):
        return dict(zip(("width", "height"), SIZES[row], strict=True))


def batches(batch_size=4, world=1, rank=0, seed=0, epoch=0, **settings):
    sampler = SimpleNamespace(dataset=Images(), seed=seed, epoch=epoch, rank=rank, world_size=world)
    found = GroupBatchSampler(sampler, batch_size, **settings)
    listed = list(found)
    assert len(found) == len(listed)
    return listed


def official(group, gpus, epoch):
    """mmdet 2.8's order for seed 0, written down from its description: per GPU, its rows."""
    generator = torch.Generator()
    generator.manual_seed(epoch)
    wide = np.array([width > height for width, height in SIZES])
    rows = []
    for part in (np.flatnonzero(~wide), np.flatnonzero(wide)):
        own = part[torch.randperm(len(part), generator=generator).numpy()].tolist()
        while len(own) % (group * gpus):
            own.append(own[len(own) - len(part)])
        rows += own
    groups = [rows[first : first + group] for first in range(0, len(rows), group)]
    order = torch.randperm(len(groups), generator=generator).tolist()
    each = len(groups) // gpus
    return [[groups[i] for i in order[gpu * each : (gpu + 1) * each]] for gpu in range(gpus)]


@pytest.mark.parametrize("epoch", [0, 3])
def test_the_order_is_that_of_mmdet_2(epoch):
    expected = official(2, 4, epoch)
    found = [batches(2, world=4, rank=rank, epoch=epoch) for rank in range(4)]
    assert found == expected


@pytest.mark.parametrize(("world", "own"), [(1, 8), (2, 4), (4, 2)])
def test_processes_share_out_the_same_steps(world, own):
    ranks = [batches(own, world=world, rank=rank, group_images=2) for rank in range(world)]

    def joined(by_rank):
        return [[row for part in parts for row in part] for parts in zip(*by_rank, strict=True)]

    assert joined(ranks) == joined(official(2, 4, 0))


def test_a_group_has_one_orientation_and_no_batch_is_cut():
    found = batches(8, group_images=4)
    assert {len(batch) for batch in found} == {8}
    for batch in found:
        for group in (batch[:4], batch[4:]):
            # Square images count as high.
            assert len({SIZES[row][0] > SIZES[row][1] for row in group}) == 1


def test_every_image_is_seen_and_few_twice():
    seen = Counter(row for batch in batches(4) for row in batch)
    assert set(seen) == set(range(len(SIZES)))
    assert sum(seen.values()) == 12 + 8 and max(seen.values()) == 2


def test_a_batch_that_is_larger_than_the_set_repeats_it():
    (batch, other) = batches(24)
    assert set(batch) | set(other) == set(range(len(SIZES)))


def test_without_orientation_only_the_end_is_filled_up():
    found = batches(4, by_orientation=False)
    assert len(found) == 5 and {len(batch) for batch in found} == {4}
    assert any(len({SIZES[row][0] > SIZES[row][1] for row in batch}) == 2 for batch in found)


def test_epochs_and_seeds_differ_and_repeat():
    assert batches(epoch=1) == batches(epoch=1)
    assert len({str(batches(epoch=epoch)) for epoch in range(4)}) == 4
    assert batches(seed=2, epoch=1) == batches(seed=1, epoch=2) != batches()


def test_a_batch_of_parts_of_groups_is_refused():
    with pytest.raises(InputError, match="whole groups of 4 images; got 6 images"):
        batches(6, group_images=4)


def test_the_default_device_changes_no_batch():
    expected = batches()
    with torch.device("meta"):
        assert batches() == expected
