"""GlobalPool: under DDP, processes that rank together train as one process with all images."""

import pickle
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from rankdet.losses import (
    SEARCHED_CONTROL_POINTS,
    GlobalPool,
    alrp_loss,
    ap_loss,
    bucketed_rank_sort_loss,
    parameterized_ap_loss,
    rank_sort_loss,
    scale_to_value,
)
from tests.unit.losses.problems import trained_like

FEATURES = 5
SIZES = {2: [300, 41], 4: [120, 0, 7, 260]}  # places of each process; one has none


def rank_and_sort(pool, logits, errors, targets):
    """With its box term: errors and weights of all processes."""
    positive = targets > 0
    ranking, sorting = pool(rank_sort_loss, logits, targets, delta=0.4)
    box, weight = pool.gather(errors[positive]), pool.gather(logits.detach()[positive].sigmoid())
    return ranking + sorting + scale_to_value((box * weight).sum() / weight.sum(), ranking)


def alrp(pool, logits, errors, targets):
    parts = pool(alrp_loss, logits, targets, errors[targets > 0])
    return parts[0] + 3 * parts[1]


def parameterized(pool, logits, errors, targets):
    rows = SEARCHED_CONTROL_POINTS["retina"]
    qualities = torch.where(targets > 0, 1 - errors / 2, 0.0)
    return pool(parameterized_ap_loss, logits, qualities, targets, control_points=rows)


LOSSES = {
    "ap": lambda pool, s, e, t: pool(ap_loss, s, t),
    "alrp": alrp,
    "rank_sort": rank_and_sort,
    "parameterized": parameterized,
    "bucketed": lambda pool, s, e, t: sum(pool(bucketed_rank_sort_loss, s, t)),
}


def places(world, index=None):
    """Features [n, FEATURES] and targets [n] of one process, or of all."""
    sizes = SIZES[world]
    _, targets, _ = trained_like(30, sum(sizes) - 30)
    targets[: sizes[-1] // 4] = -1
    if world == 2:
        targets[sizes[0] :].clamp_(max=0)  # the second has no positive
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(sum(sizes), FEATURES, generator=generator).double()
    if index is None:
        return features, targets
    own = slice(sum(sizes[:index]), sum(sizes[: index + 1]))
    return features[own], targets[own]


def new_head():
    torch.manual_seed(0)
    return torch.nn.Linear(FEATURES, 2).double()


def gradients(head, loss, features, targets):
    logits, errors = head(features).unbind(1)
    value = LOSSES[loss](GlobalPool(), logits, 2 * errors.sigmoid(), targets)
    value.backward()
    return value.detach()


def rank(index, world, folder):
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=index, world_size=world)
    found = {}
    for loss in LOSSES:
        head = DistributedDataParallel(new_head())
        value = gradients(head, loss, *places(world, index))
        found[loss] = value, head.module.weight.grad, head.module.bias.grad
    torch.save(found, Path(folder) / f"{index}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("world", SIZES)
def test_processes_equal_one(world, tmp_path):
    """Uneven and empty parts, a part without positives; errors and qualities have gradients."""
    torch.multiprocessing.spawn(rank, (world, str(tmp_path)), world)
    of_ranks = [torch.load(tmp_path / f"{index}.pt") for index in range(world)]
    for loss in LOSSES:
        head = new_head()
        value = gradients(head, loss, *places(world))
        expected = value, head.weight.grad, head.bias.grad
        assert value > 0 and head.weight.grad.abs().sum() > 0
        for found in of_ranks:
            for ours, other in zip(found[loss], expected, strict=True):
                torch.testing.assert_close(ours, other, rtol=1e-9, atol=1e-12)


def test_without_processes_nothing_changes():
    logits, targets, _ = trained_like(5, 50)
    logits.requires_grad_()
    assert GlobalPool().gather(logits) is logits
    assert GlobalPool()(ap_loss, logits, targets, delta=0.3) == ap_loss(logits, targets, delta=0.3)
    assert isinstance(pickle.loads(pickle.dumps(GlobalPool(group="of this process"))), GlobalPool)
    assert pickle.loads(pickle.dumps(GlobalPool(group="of this process"))).group is None


def test_a_list_is_flat():
    with pytest.raises(ValueError, match=r"flat list \[n\] to gather; got shape \[2, 3\]; flatten"):
        GlobalPool().gather(torch.zeros(2, 3))
