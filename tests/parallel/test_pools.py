"""16 images in 4 pools of 4 on one device train as 4 processes with 4 images each."""

import pytest
import torch
from benchmarks.training_step import POOL, gradients, model_of, rank, step

WORLD = 4
# Dense heads of each loss; an RPN, a box head and a mask head with theirs.
ENTRIES = [
    "rs_atss_r50",
    "rs_paa_r50",
    "alrp_mmdet_ap_retinanet_r50_500",
    "alrp_mmdet_alrp_retinanet_r50_500",
    "alrp_mmdet_alrp_frcnn_r50_500",
    "rs_mask_r50",
]


@pytest.fixture(scope="module")
def of_processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(rank, (WORLD, folder, ENTRIES), WORLD)
    return folder


@pytest.mark.parametrize("entry", ENTRIES)
def test_pools_equal_processes(entry, of_processes):
    terms, expected = torch.load(of_processes / f"{entry}.pt", weights_only=True)
    model = model_of(entry, POOL)
    for name, value in step(model, slice(0, POOL * WORLD)).items():
        torch.testing.assert_close(value, terms[name], rtol=1e-4, atol=1e-6)
    found = gradients(model)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(
            found[name], gradient, rtol=1e-3, atol=1e-4 * float(gradient.abs().max())
        )


@pytest.mark.parametrize("entry", ["rs_atss_r50", "rs_mask_r50"])
def test_one_pool_of_all_is_another_loss(entry, of_processes):
    """What the pools are for: without them a large GPU trains something else."""
    terms, _ = torch.load(of_processes / f"{entry}.pt", weights_only=True)
    whole = step(model_of(entry, POOL * WORLD), slice(0, POOL * WORLD))
    assert abs(whole["loss"] - terms["loss"]) > 1e-3 * terms["loss"]
