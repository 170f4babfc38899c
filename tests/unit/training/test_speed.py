"""What makes a step faster leaves names, losses and heads as they are."""

import pytest
import torch
from benchmarks.drawn_images import sample
from mmdet.registry import MODELS
from mmengine.config import ConfigDict

from rankdet.catalogue.presets import get_preset
from rankdet.training.resolve import resolve
from rankdet.training.runner import Speed, apply_speed

# Smaller ones have a level of one place, and the gradient of a bf16 convolution over it was seen to
# be uninitialised memory on a CPU (torch 2.13, oneDNN).
SIDE = 256
DCN = dict(type="DCNv2", deform_groups=4, fallback_on_stride=False)
# A dense row, one whose neck is CARAFE, and one with deformable convolutions.
ROWS = {"rs_atss_r50": {}, "rs_frcnn_plus_r50": {}, "alrp_mmdet_alrp_frcnn_r50_500": {"dcn": DCN}}


def model_of(entry, settings, speed):
    config = resolve(entry, get_preset("demo"), None)
    backbone = dict(config.model.backbone, norm_eval=True)
    if settings:  # of the blocks of a ResNet-50 on
        backbone |= dict(settings, depth=50, stage_with_dcn=(False, True, True, True))
        config.model.neck.in_channels = [64, 128, 256, 512]
    torch.manual_seed(0)
    model = MODELS.build(ConfigDict(config.model, backbone=backbone))
    model.init_weights()
    apply_speed(model, speed)
    return model.train()


def batch():
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, SIDE, SIDE, generator=generator)
    return images, [sample((SIDE, SIDE), False, generator) for _ in images]


def step(model):
    """Return the summed loss of a step and its gradients."""
    torch.manual_seed(2)
    losses = model.loss(*batch())
    total = sum(sum(v) if isinstance(v, list) else v for v in losses.values())
    total.backward()
    return float(total.detach()), {n: p.grad for n, p in model.named_parameters()}


@pytest.mark.parametrize("entry", ROWS)
def test_channels_last_computes_the_same(entry):
    plain, fast = (
        model_of(entry, ROWS[entry], speed) for speed in (Speed(), Speed(channels_last=True))
    )
    assert list(plain.state_dict()) == list(fast.state_dict())
    (loss, gradients), (fast_loss, fast_gradients) = step(plain), step(fast)
    assert fast_loss == pytest.approx(loss, rel=1e-4)
    for name in ("backbone.conv1.weight", "backbone.layer4.1.conv2.weight"):
        torch.testing.assert_close(
            fast_gradients[name],
            gradients[name],
            rtol=1e-2,
            atol=1e-3 * gradients[name].abs().max(),
        )


@pytest.mark.parametrize("entry", ROWS)
def test_bf16_ends_at_the_heads(entry):
    plain, fast = (model_of(entry, ROWS[entry], speed) for speed in (Speed(), Speed(bf16=True)))
    images, _ = batch()
    exact, features = plain.extract_feat(images), fast.extract_feat(images)
    for level, expected in zip(features, exact, strict=True):
        assert level.dtype == torch.float32 and level.is_contiguous()
        assert not torch.equal(level, expected)  # else nothing was computed in bf16
        assert (level - expected).norm() < 0.05 * expected.norm()
    loss, gradients = step(fast)
    assert loss == pytest.approx(step(plain)[0], rel=0.1)
    assert all(g.isfinite().all() for g in gradients.values() if g is not None)
    assert all(p.dtype == torch.float32 for p in fast.parameters())


def test_nothing_chosen_changes_nothing():
    model = model_of("rs_atss_r50", {}, Speed())
    assert "extract_feat" not in vars(model)
    assert Speed(bf16=True).chosen == {"bf16": True}
