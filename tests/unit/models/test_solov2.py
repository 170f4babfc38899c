"""RS-SOLOv2's loss step: each cell has its own Dice value; images without objects are defined."""

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

import rankdet.models  # noqa: F401
from rankdet.models.build import load_config

CLASSES, KERNELS, GRIDS, SIDE = 3, 4, (8, 6, 4, 3, 2), 64


def build(**settings):
    model = load_config("rs_solov2_r34_light").model
    head = ConfigDict(model.mask_head)
    head.update(num_classes=CLASSES, in_channels=8, feat_channels=32, num_grids=GRIDS)
    head.mask_feature_head.update(feat_channels=32, out_channels=KERNELS)
    head.mask_feature_head.norm_cfg.num_groups = 2
    # The row repeats the published exchange; most tests here are about the head without it.
    own = dict(test_cfg=model.test_cfg, pool_images=None, official_order=False)
    head.update({**own, **settings})
    return MODELS.build(head)


def truth(*boxes, labels=None):
    masks = torch.zeros(len(boxes), SIDE, SIDE, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = 1
    return InstanceData(
        bboxes=torch.tensor(boxes).float().view(-1, 4),
        labels=torch.tensor(labels or [i % CLASSES for i in range(len(boxes))]).long(),
        masks=BitmapMasks(masks.numpy(), SIDE, SIDE),
    )


# On one level, and with cells of both in turn along the rows of the grid.
TWO = ((4, 4, 24, 60), (36, 4, 60, 60))


def outputs(images, seed=0):
    generator = torch.Generator().manual_seed(seed)
    kernels = [torch.randn(images, KERNELS, grid, grid, generator=generator) for grid in GRIDS]
    scores = [torch.randn(images, CLASSES, grid, grid, generator=generator) for grid in GRIDS]
    return kernels, scores, torch.randn(images, KERNELS, 16, 16, generator=generator)


def losses(head, kernels, scores, mask_feats, truths):
    leaves = [t.clone().requires_grad_() for t in (*kernels, *scores, mask_feats)]
    levels = len(GRIDS)
    found = head.loss_by_feat(
        leaves[:levels], leaves[levels:-1], leaves[-1], truths, [{}] * len(truths)
    )
    sum(found.values()).backward()
    return {k: v.detach() for k, v in found.items()}, [leaf.grad for leaf in leaves]


def seen_targets(head):
    seen = []
    head.loss_cls.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    return seen


def test_each_cell_has_the_dice_value_of_its_own_mask():
    head = build()
    seen = seen_targets(head)
    kernels, scores, mask_feats = outputs(1)
    image = truth(*TWO)
    losses(head, kernels, scores, mask_feats, [image])
    targets = seen[0][1].view(-1, CLASSES)
    start, checked = 0, 0
    for level, found in enumerate(head.targets(image, (16, 16))):
        for cell, owner in zip(found.cells.tolist(), found.objects.tolist(), strict=True):
            kernel = kernels[level][0].flatten(1)[:, cell]
            mask = torch.einsum("k,khw->hw", kernel, mask_feats[0]).sigmoid()
            full = torch.from_numpy(image.masks.masks[owner]).float()
            small = full[::4, ::4]  # the boxes end on multiples of 4
            dice = 2 * (mask * small).sum() / (mask.square().sum() + small.square().sum() + 2e-3)
            found_value = targets[start + cell, image.labels[owner]]
            torch.testing.assert_close(found_value, dice, rtol=1e-4, atol=0)
            checked += 1
        start += GRIDS[level] ** 2
    assert checked >= 4 and checked == (targets > 0).sum()


def test_the_order_of_the_objects_does_not_matter():
    head, official = build(), build(official_order=True)
    first, second = truth(*TWO, labels=[0, 1]), truth(*TWO[::-1], labels=[1, 0])
    data = outputs(1)
    cells = [
        level for level in head.targets(first, (16, 16)) if len(set(level.objects.tolist())) > 1
    ]
    assert any((level.object_order().diff() < 0).any() for level in cells)  # the defect can act
    found, gradients = losses(head, *data, [first])
    again, same = losses(head, *data, [second])
    for name, value in found.items():
        torch.testing.assert_close(value, again[name])
    for ours, others in zip(gradients, same, strict=True):
        torch.testing.assert_close(ours, others)
    exchanged, _ = losses(official, *data, [first])
    assert not torch.isclose(exchanged["loss_sort"], found["loss_sort"], rtol=1e-3)


def test_both_orders_are_one_for_single_objects():
    data, truths = outputs(2), [truth(TWO[0]), truth(TWO[1])]
    ours, _ = losses(build(), *data, truths)
    official, _ = losses(build(official_order=True), *data, truths)
    assert ours == official


def test_mask_loss_is_ranking_plus_sorting():
    found, _ = losses(build(), *outputs(2), [truth(*TWO), truth(TWO[0])])
    torch.testing.assert_close(found["loss_mask"], found["loss_rank"] + found["loss_sort"])


def test_without_any_object_all_losses_are_zero_with_a_graph():
    found, gradients = losses(build(), *outputs(2), [truth(), truth()])
    assert all(value == 0 for value in found.values())
    assert all(gradient is not None and not gradient.any() for gradient in gradients)


def test_an_image_without_objects_gives_negatives():
    head = build()
    seen = seen_targets(head)
    _, gradients = losses(head, *outputs(2), [truth(*TWO), truth()])
    kernels, scores, masks = gradients[:5], gradients[5:10], gradients[10]
    assert any(level[1].any() for level in scores)
    assert not any(level[1].any() for level in kernels) and not masks[1].any()
    assert len(seen[0][0]) == 2 * CLASSES * sum(grid**2 for grid in GRIDS)


def test_pools_of_one_image_equal_the_mean_of_both_images_alone():
    head, data = build(), outputs(2)
    truths = [truth(*TWO), truth()]
    head.pool_images = 1
    together, gradients = losses(head, *data, truths)
    for image in range(2):
        part = [[t[[image]] for t in levels] for levels in data[:2]]
        alone, own = losses(head, *part, data[2][[image]], [truths[image]])
        if image == 0:
            for name, value in alone.items():
                torch.testing.assert_close(together[name], value / 2)
        for ours, single in zip(gradients, own, strict=True):
            torch.testing.assert_close(ours[image], single[0] / 2)


@pytest.mark.parametrize("limit", [1, 5])
def test_candidates_are_the_highest_scores(limit):
    head = build().eval()
    head.test_cfg.update(score_thr=0.01, filter_thr=0.0)
    meta = {"img_shape": (SIDE, SIDE), "ori_shape": (SIDE, SIDE)}

    def predict():
        kernels, scores, mask_feats = outputs(1, seed=3)
        return head.predict_by_feat(kernels, scores, mask_feats, [meta])[0]

    everything = predict()
    head.test_cfg.max_candidates = 10_000
    assert torch.equal(predict().scores, everything.scores)
    head.test_cfg.max_candidates = limit
    found = predict()
    assert len(found.scores) <= limit < len(everything.scores)
    assert found.masks.shape == (len(found.scores), SIDE, SIDE)
