"""Parameterized AP heads: the gradient scale, the published settings, batches without objects."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

import rankdet.models  # noqa: F401 (registers the heads)
from rankdet.errors import InputError
from rankdet.losses import SEARCHED_CONTROL_POINTS
from rankdet.models.boxes import giou_qualities, scale_gradient
from rankdet.models.build import load_config

META = dict(img_shape=(64, 64), pad_shape=(64, 64), batch_input_shape=(64, 64))


def retina_head(scale=1.0):
    torch.manual_seed(0)
    settings = dict(
        type="RankedRetinaHead",
        loss_step=dict(type="ParameterizedApStep"),
        num_classes=3,
        in_channels=8,
        feat_channels=8,
        stacked_convs=1,
        box_gradient_scale=scale,
        anchor_generator=dict(
            type="AnchorGenerator",
            octave_base_scale=4,
            scales_per_octave=1,
            ratios=[1.0],
            strides=[8, 16],
        ),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_cls=dict(
            type="ParameterizedApLoss",
            use_sigmoid=True,
            control_points=SEARCHED_CONTROL_POINTS["retina"],
        ),
        loss_bbox=dict(type="GIoULoss", reduction="none"),
        train_cfg=dict(
            assigner=dict(type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0),
            sampler=dict(type="PseudoSampler"),
            allowed_border=-1,
            pos_weight=-1,
        ),
    )
    return MODELS.build(ConfigDict(settings))


def backward(head, boxes):
    features = [torch.randn(1, 8, 8, 8), torch.randn(1, 8, 4, 4)]
    scores, deltas = head([feature.requires_grad_() for feature in features])
    truth = InstanceData(bboxes=boxes, labels=torch.zeros(len(boxes), dtype=torch.long))
    losses = head.loss_by_feat(scores, deltas, [truth], [META])
    sum(losses.values()).backward()
    return losses, scores + deltas, features


BOXES = torch.tensor([[4.0, 6, 36, 40], [20.0, 20, 60, 62]])


def test_the_scale_acts_on_the_box_branch_only():
    plain, scaled = retina_head(), retina_head(4.0)
    for head in (plain, scaled):
        torch.manual_seed(1)
        losses, _, head.features = backward(head, BOXES)
        head.value = float(losses["loss_pap"].detach())
    assert plain.value == scaled.value
    for name in ("retina_reg.weight", "reg_convs.0.conv.weight"):
        ours, theirs = (head.get_parameter(name).grad for head in (scaled, plain))
        assert theirs.abs().max() > 0
        torch.testing.assert_close(ours, 4 * theirs)
    for name in ("retina_cls.weight", "cls_convs.0.conv.weight"):
        torch.testing.assert_close(scaled.get_parameter(name).grad, plain.get_parameter(name).grad)
    assert not torch.allclose(scaled.features[0].grad, plain.features[0].grad)


def test_without_objects_the_loss_is_a_zero_with_a_graph():
    head = retina_head(4.0)
    losses, _, _ = backward(head, torch.zeros(0, 4))
    assert float(losses["loss_pap"].detach()) == 0
    assert all(not each.grad.any() for each in head.parameters())


def test_scale_gradient_is_the_identity_forward():
    values = torch.randn(5, requires_grad=True)
    scaled = scale_gradient(values, 2.5)
    assert torch.equal(scaled, values)
    scaled.sum().backward()
    assert torch.equal(values.grad, torch.full((5,), 2.5))


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_is_none_is_refused(scale):
    with pytest.raises(InputError, match="box_gradient_scale"):
        retina_head(scale)


def test_qualities_stay_in_range():
    boxes = torch.rand(1000, 4)
    boxes[:, 2:] += boxes[:, :2] + 0.1
    other = boxes.roll(1, 0) * torch.rand(1000, 1) * 100
    for targets in (boxes, other):
        found = giou_qualities(boxes, targets)
        assert found.min() >= 0 and found.max() <= 1
    assert giou_qualities(boxes, boxes).min() > 0.99


def test_the_configs_have_the_published_points_and_scales():
    retina = load_config("pap_pap_retinanet_r50").model.bbox_head
    faster = load_config("pap_pap_frcnn_r50").model
    heads = {"retina": retina, "rpn": faster.rpn_head, "roi": faster.roi_head.bbox_head}
    scales = {"retina": 4.1231, "rpn": 1.6950, "roi": 7.1324}
    for name, head in heads.items():
        rows = [tuple(row) for row in head.loss_cls.control_points]
        assert tuple(rows) == SEARCHED_CONTROL_POINTS[name]
        assert head.box_gradient_scale == scales[name]
    assert faster.train_cfg.rpn.sampler.type == "RandomSampler"
    assert faster.train_cfg.rcnn.sampler == dict(type="PseudoSampler")
