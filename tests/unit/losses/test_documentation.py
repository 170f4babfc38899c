"""The code in docs/use-in-your-detector.md runs, its detector learns, its pools equal processes."""

import re
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from rankdet.losses import scale_to_value

PAGE = Path(__file__).parents[3] / "docs/use-in-your-detector.md"
EVERY = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
# Those of the adapters run in tests/adapters, where their packages are.
BLOCKS = [each for each in EVERY if "rankdet.adapters" not in each]


def test_the_detector_is_thirty_lines():
    assert len([line for line in BLOCKS[0].splitlines() if line.strip()]) <= 30


def test_the_detector_learns():
    torch.manual_seed(0)
    names = {}
    exec(compile(BLOCKS[0], str(PAGE), "exec"), names)
    positive = names["labels"] >= 0
    logits, boxes = names["out"][..., :3], names["boxes"]
    ranking, sorting, box = names["detector_losses"](
        logits, boxes, names["labels"], names["matched"]
    )
    own = logits[positive, names["labels"][positive]]
    assert own.mean() > logits[~positive].mean() + 0.5
    assert box.item() == pytest.approx((ranking + sorting).item())
    iou, _ = names["overlaps"](boxes[positive], names["matched"][positive])
    assert iou.mean() > 0.7


def test_the_check_holds():
    exec(compile(BLOCKS[3], str(PAGE), "exec"), {})
    assert len(BLOCKS) == 4 and len(EVERY) == 6


def test_the_links_lead_somewhere():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", PAGE.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []


IMAGES, PLACES, CLASSES, POOL = 8, 10, 5, 4  # 400 logits in two pools
WORLD = IMAGES // POOL


def recipe():
    """Return the functions of the page, without its training."""
    names = {}
    functions = BLOCKS[0].split("\nimage, labels")[0]
    exec(compile(f"{functions}\n{BLOCKS[1]}\n{BLOCKS[2]}", str(PAGE), "exec"), names)
    return names


def batch():
    """Logits and boxes of a head on fixed images, labels and matched boxes."""
    generator = torch.Generator().manual_seed(3)
    image = torch.randn(IMAGES, 6, PLACES, 1, generator=generator)
    labels = torch.randint(-12, CLASSES, (IMAGES, PLACES), generator=generator).clamp(min=-2)
    labels[:POOL, :6] = -1  # the pools differ in how many positives they have
    sides = torch.rand(IMAGES, PLACES, 4, generator=generator) + 0.5
    return image, labels, sides * torch.tensor([-1, -1, 1, 1])


def outputs(head, image):
    """Logits [B, A, C] and boxes [B, A, 4] that keep their gradients."""
    out = head(image).flatten(2).transpose(1, 2)
    logits, sides = out[..., :CLASSES], out[..., CLASSES:].exp()
    boxes = torch.cat((-sides[..., :2], sides[..., 2:]), -1)
    logits.retain_grad()
    boxes.retain_grad()
    return logits, boxes


def new_head():
    torch.manual_seed(0)
    return torch.nn.Conv2d(6, CLASSES + 4, 1).double()


def in_one_process(losses):
    """Gradients of the head, of logits and of boxes; loss terms."""
    head = new_head()
    image, labels, matched = batch()
    logits, boxes = outputs(head, image.double())
    terms = losses(logits, boxes, labels, matched.double())
    sum(terms).backward()
    return head.weight.grad, logits.grad, boxes.grad, torch.stack(terms).detach()


def rank(index, folder):
    """Be one of the processes, with the images of one pool; keep what DDP averaged."""
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=index, world_size=WORLD)
    for name in ("detector_losses", "global_losses"):
        torch.save(in_process(index, name), Path(folder) / f"{name}{index}.pt")
    dist.destroy_process_group()


def in_process(index, name):
    head = DistributedDataParallel(new_head())
    own = slice(POOL * index, POOL * (index + 1))
    image, labels, matched = (each[own] for each in batch())
    logits, boxes = outputs(head, image.double())
    terms = recipe()[name](logits, boxes, labels, matched.double())
    sum(terms).backward()
    return head.module.weight.grad, logits.grad, boxes.grad, torch.stack(terms).detach()


@pytest.fixture(scope="module")
def of_processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(rank, (str(folder),), WORLD)
    return folder


@pytest.mark.parametrize(
    ("name", "alone"),
    [("detector_losses", "batch_losses"), ("global_losses", "detector_losses")],
)
def test_one_process_equals_several(name, alone, of_processes):
    """Values and gradients, those of the boxes included: pools, and all images in one ranking."""
    of_ranks = [torch.load(of_processes / f"{name}{index}.pt") for index in range(WORLD)]
    weight, logits, boxes, terms = zip(*of_ranks, strict=True)
    found = in_one_process(recipe()[alone])
    expected = (
        *(weight[0], torch.cat(logits) / WORLD, torch.cat(boxes) / WORLD),
        torch.stack(terms).mean(0),
    )
    for ours, other in zip(found, expected, strict=True):
        assert other.any()
        torch.testing.assert_close(ours, other, rtol=1e-9, atol=1e-14)


def test_pools_equal_separate_calls():
    """The same in one process: leaf tensors of each pool, gradients averaged."""
    _, of_logits, of_boxes, terms = in_one_process(recipe()["batch_losses"])
    head = new_head()
    image, labels, matched = batch()
    logits, boxes = (each.detach() for each in outputs(head, image.double()))
    mean = torch.zeros_like(terms)
    for first in range(0, IMAGES, POOL):
        own = slice(first, first + POOL)
        leaves = [each[own].clone().requires_grad_() for each in (logits, boxes)]
        found = recipe()["detector_losses"](*leaves, labels[own], matched[own].double())
        sum(found).backward()
        mean += torch.stack(found).detach() / WORLD
        for leaf, ours in zip(leaves, (of_logits, of_boxes), strict=True):
            torch.testing.assert_close(ours[own], leaf.grad / WORLD, rtol=1e-12, atol=1e-16)
    torch.testing.assert_close(terms, mean, rtol=1e-12, atol=0)


def test_one_scale_for_all_pools_is_another_gradient():
    """Why the box term belongs inside: scaled outside, boxes of a pool get the others' scale."""
    names = recipe()

    def scaled_outside(logits, boxes, labels, matched):
        def ranked(images):
            return names["detector_losses"](
                logits[images], boxes[images], labels[images], matched[images]
            )[:2]

        ranking, sorting = names["pools"].mean(len(logits), ranked)
        positive = labels >= 0
        _, giou = names["overlaps"](boxes[positive], matched[positive])
        weight = logits.detach()[positive].sigmoid().amax(1)
        box = (weight * (1 - giou)).sum() / weight.sum()
        return ranking, sorting, scale_to_value(box, ranking + sorting)

    right, wrong = in_one_process(names["batch_losses"]), in_one_process(scaled_outside)
    torch.testing.assert_close(right[1], wrong[1])
    assert (right[2] - wrong[2]).abs().max() > 0.05 * right[2].abs().max()
