"""A step in passes moves the weights as one of all images does, alone and as one of two ranks."""

import pytest
import torch
import torch.distributed as dist
from benchmarks.training_step import POOL, batch, model_of
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from torch.optim import SGD

from rankdet.training.step import TrainingStep

IMAGES = 4 * POOL
ENTRIES = ["rs_atss_r50", "alrp_mmdet_alrp_retinanet_r50_500", "rs_mask_r50"]


def trained(model, images, passes):
    """Return the loss terms of two steps, and the weights after them."""
    detector = getattr(model, "module", model)
    optimizer = OptimWrapper(
        SGD([p for p in model.parameters() if p.requires_grad], lr=0.01, momentum=0.9),
        clip_grad=dict(max_norm=35),
    )
    step = TrainingStep(model, passes)
    pixels, samples = batch(images, detector.with_mask)
    data = {"inputs": list(pixels), "data_samples": samples}
    terms = [step(dict(data), optimizer) for _ in range(2)]
    terms = {name: torch.stack([each[name].detach() for each in terms]) for name in terms[0]}
    return terms, {name: p.detach() for name, p in detector.named_parameters()}


def start(entry):
    return dict(model_of(entry, POOL).named_parameters())


def compare(found, expected, entry):
    terms, weights = expected
    for name, value in found[0].items():
        torch.testing.assert_close(value, terms[name], rtol=1e-3, atol=1e-5)
    before = {name: weight.detach() for name, weight in start(entry).items()}
    for name, weight in found[1].items():
        moved, wanted = weight - before[name], weights[name] - before[name]
        spacing = 1e-6 * float(weight.abs().max())  # of float32 weights
        close = 1e-3 * float(wanted.abs().max()) + spacing
        torch.testing.assert_close(moved, wanted, rtol=1e-2, atol=close)


@pytest.mark.parametrize("entry", ENTRIES)
def test_four_passes_equal_one(entry):
    expected = trained(model_of(entry, POOL), slice(0, IMAGES), 1)
    assert any((weight != start(entry)[name]).any() for name, weight in expected[1].items())
    compare(trained(model_of(entry, POOL), slice(0, IMAGES), 4), expected, entry)


def rank(index, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/g", rank=index, world_size=2)
    model = MMDistributedDataParallel(
        model_of(ENTRIES[0], POOL), broadcast_buffers=False, find_unused_parameters=True
    )
    half = IMAGES // 2
    terms, weights = trained(model, slice(half * index, half * (index + 1)), 2)
    for value in terms.values():
        dist.all_reduce(value)
    torch.save(({name: value / 2 for name, value in terms.items()}, weights), folder / f"{index}")
    dist.barrier()
    dist.destroy_process_group()


def test_two_ranks_of_two_passes_equal_one(tmp_path):
    torch.multiprocessing.spawn(rank, (tmp_path,), 2)
    expected = trained(model_of(ENTRIES[0], POOL), slice(0, IMAGES), 1)
    both = [torch.load(tmp_path / str(index), weights_only=True) for index in range(2)]
    for name, weight in both[0][1].items():
        assert torch.equal(weight, both[1][1][name]), name
    compare(both[0], expected, ENTRIES[0])
