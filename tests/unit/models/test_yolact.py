"""RS-YOLACT's loss steps: positives for the mask head, pools, padding, images without objects."""

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_overlaps
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

import rankdet.models  # noqa: F401
from rankdet.models.build import load_config

CLASSES, PROTOTYPES, SIDE, SIDES = 3, 4, 96, (12, 6, 3, 2, 1)


def build(pool_images=None):
    model = load_config("rs_yolact_r50").model
    cfg = dict(num_classes=CLASSES, num_protos=PROTOTYPES, train_cfg=model.train_cfg)
    cfg.update(in_channels=4, test_cfg=model.test_cfg)
    box = ConfigDict(model.bbox_head, feat_channels=4, pool_images=pool_images, **cfg)
    mask = ConfigDict(model.mask_head, proto_channels=(8, None, PROTOTYPES), **cfg)
    mask.proto_kernel_sizes = (3, -2, 1)
    return MODELS.build(box), MODELS.build(mask)


def truth(*boxes):
    masks = torch.zeros(len(boxes), SIDE, SIDE, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = 1
    return InstanceData(
        bboxes=torch.tensor(boxes).float().view(-1, 4),
        labels=torch.arange(len(boxes)) % CLASSES,
        masks=BitmapMasks(masks.numpy(), SIDE, SIDE),
    )


THREE = ((4, 6, 30, 34), (40, 40, 90, 92), (50, 8, 70, 40))


def metas(images, height=SIDE):
    shape = dict(img_shape=(height, SIDE), pad_shape=(height, SIDE), ori_shape=(height, SIDE))
    return [shape | dict(batch_input_shape=(SIDE, SIDE), scale_factor=(1, 1))] * images


def outputs(images, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def levels(width, scale=1.0):
        return [scale * torch.randn(images, width, s, s, generator=generator) for s in SIDES]

    feature = torch.randn(images, 4, SIDES[0], SIDES[0], generator=generator)
    return levels(3 * CLASSES), levels(12, 0.3), levels(3 * PROTOTYPES), [feature]


def losses(heads, data, truths, infos):
    """Return losses and gradients of both heads, and the positives."""
    box, mask = heads
    leaves = [[t.clone().requires_grad_() for t in levels] for levels in data]
    found = box.loss_by_feat(*leaves[:3], truths, infos)
    positives = box.get_positive_infos()
    found |= mask.loss_by_feat(*mask(leaves[3], positives), truths, infos, positives)
    sum(found.values()).backward()
    gradients = [leaf.grad for levels in leaves for leaf in levels]
    return {k: v.detach() for k, v in found.items()}, gradients, positives


def test_box_and_mask_loss_are_ranking_plus_sorting():
    found, _, _ = losses(build(), outputs(2), [truth(*THREE), truth(THREE[1])], metas(2))
    balance = found["loss_rank"] + found["loss_sort"]
    assert balance > 0.1
    torch.testing.assert_close(found["loss_bbox"], balance)
    torch.testing.assert_close(found["loss_mask"], balance)


def test_without_any_object_all_losses_are_zero_with_a_graph():
    found, gradients, _ = losses(build(), outputs(2), [truth(), truth()], metas(2))
    assert all(value == 0 for value in found.values())
    assert all(gradient is not None and not gradient.any() for gradient in gradients)


def test_pools_of_one_image_equal_the_mean_of_the_images_alone():
    heads, data = build(pool_images=1), outputs(3)
    truths = [truth(*THREE), truth(), truth(THREE[0])]
    together, gradients, positives = losses(heads, data, truths, metas(3))
    assert [found.pool for found in positives] == [0, 1, 2]
    terms = []
    for image in range(3):
        part = [[level[[image]] for level in levels] for levels in data]
        alone, own, _ = losses(heads, part, [truths[image]], metas(1))
        terms.append(alone)
        for ours, single in zip(gradients, own, strict=True):
            torch.testing.assert_close(ours[image], single[0] / 3)
    for name, value in together.items():
        torch.testing.assert_close(value, sum(term[name] for term in terms) / 3)


def test_the_order_of_the_objects_does_not_matter():
    heads, data = build(), outputs(1)
    first = truth(*THREE)
    second = first[torch.tensor([2, 0, 1])]
    second.masks = first.masks[[2, 0, 1]]
    found, gradients, _ = losses(heads, data, [first], metas(1))
    again, same, _ = losses(heads, data, [second], metas(1))
    for name, value in found.items():
        torch.testing.assert_close(value, again[name])
    for ours, others in zip(gradients, same, strict=True):
        torch.testing.assert_close(ours, others)


@pytest.mark.parametrize("height", [SIDE, 56])
def test_positives_are_counted_among_all_anchors(height):
    """An image that is padded below: the anchors there are invalid, and come in between."""
    heads = build()
    boxes = ((4, 6, 30, 34), (50, 8, 70, 40), (30, 10, 92, 50))
    _, gradients, positives = losses(heads, outputs(1), [truth(*boxes)], metas(1, height))
    anchors = torch.cat(heads[0].prior_generator.grid_priors([(s, s) for s in SIDES], device="cpu"))
    found = positives[0]
    overlaps = bbox_overlaps(anchors[found.pos_inds], torch.tensor(boxes).float())
    assert overlaps.argmax(1).tolist() == found.pos_assigned_gt_inds.tolist()
    assert set(found.pos_assigned_gt_inds.tolist()) == {0, 1, 2}
    per_anchor = [level[0].permute(1, 2, 0).reshape(-1, PROTOTYPES) for level in gradients[10:15]]
    touched = torch.cat(per_anchor).any(1).nonzero().squeeze(1)
    assert touched.tolist() == found.pos_inds.tolist()


def test_all_positives_of_an_image_have_a_mask():
    """mmdet takes 100 at random; the paper's loss takes all."""
    heads = build()
    image = truth(*THREE)
    _, gradients, positives = losses(heads, outputs(1), [image], metas(1))
    heads[1].max_masks_to_train = 1
    _, again, _ = losses(heads, outputs(1), [image], metas(1))
    assert len(positives[0]) > 3
    for ours, others in zip(gradients, again, strict=True):
        assert torch.equal(ours, others)


def test_there_is_no_semantic_branch():
    mask = build()[1]
    assert mask.segm_branch is None and mask.loss_segm is None
    assert all(name.startswith("protonet.") for name in mask.state_dict())
