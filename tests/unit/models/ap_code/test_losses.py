"""Loss steps of the heads where no recorded case reaches."""

import pytest
import torch

from rankdet.errors import InputError
from tests.unit.models.ap_code.heads import ENTRIES, META, build, predictions, truth


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("pool_images", [None, 1])
def test_a_batch_without_boxes_gives_zeros_with_a_graph(entry, pool_images):
    """The official code raises here."""
    head = build(entry, pool_images=pool_images)
    logits, deltas = predictions(head, 2)
    losses = head.loss_by_feat(logits, deltas, [truth(), truth()], [META] * 2)
    assert {name: value.item() for name, value in losses.items()} == {"loss_cls": 0, "loss_bbox": 0}
    sum(losses.values()).backward()
    assert all(leaf.grad is not None and not leaf.grad.any() for leaf in (*logits, *deltas))


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_empty_image_in_a_batch_changes_only_the_ranking(entry):
    head = build(entry, pool_images=None)
    logits, deltas = predictions(head, 2)
    boxes = truth((4, 5, 40, 44), (20, 8, 60, 30))
    losses = head.loss_by_feat(logits, deltas, [boxes, truth()], [META] * 2)
    first = [level[:1] for level in logits], [level[:1] for level in deltas]
    alone = build(entry, pool_images=None).loss_by_feat(*first, [boxes], [META])
    assert all(torch.isfinite(value) and value > 0 for value in losses.values())
    assert losses["loss_cls"] > alone["loss_cls"]  # twice the negatives


def test_pools_are_batches_of_their_own():
    entry = "ext_alrp_ap_r50_500"
    logits, deltas = predictions(build(entry), 2)
    boxes = [truth((4, 5, 40, 44)), truth((20, 8, 60, 30), (2, 2, 30, 60))]
    pooled = build(entry, pool_images=1).loss_by_feat(logits, deltas, boxes, [META] * 2)
    single = [
        build(entry, pool_images=None).loss_by_feat(
            [level[i : i + 1] for level in logits],
            [level[i : i + 1] for level in deltas],
            boxes[i : i + 1],
            [META],
        )
        for i in range(2)
    ]
    for name, value in pooled.items():
        torch.testing.assert_close(value, (single[0][name] + single[1][name]) / 2)


def test_aLRP_errors_are_about_half_of_plain_ones():
    """The widened unit boxes: a measured property of the official code (0.51 to 0.64)."""
    from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder

    from rankdet.models.boxes import decode_on_unit_anchor, giou_errors_with_added_eps

    head = build("ext_alrp_ap_r50_500")
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(4000, 4, generator=generator)
    deltas = target + 0.5 * torch.randn(4000, 4, generator=generator)
    boxes, wanted = head.decode(None, deltas), head.decode(None, target)
    widened = head.loss_step.box_errors(boxes, wanted).mean()
    coder = DeltaXYWHBBoxCoder(target_stds=head.bbox_coder.stds)
    plain = giou_errors_with_added_eps(
        decode_on_unit_anchor(coder, deltas),
        decode_on_unit_anchor(coder, target),
    ).mean()
    assert 0.5 < float(widened / plain) < 0.6


def test_an_unknown_measure_is_named():
    with pytest.raises(InputError, match="'giou' or 'iou'; got 'diou'"):
        build("ext_alrp_ap_r50_500", loss_step=dict(type="AlrpStep", box_measure="diou"))


def test_the_head_starts_as_published():
    head = build("ext_ap_r50_500")
    head.init_weights()
    prior = torch.full_like(head.retina_cls.bias, -torch.log(torch.tensor(99.0)).item())
    torch.testing.assert_close(head.retina_cls.bias, prior)
    assert 0.009 < head.cls_convs[0].conv.weight.std() < 0.011
    assert 0.0009 < head.retina_reg.weight.std() < 0.0011
