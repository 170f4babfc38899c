"""The rows of the AP-Loss code base, in the words that the catalogue has for them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from mmengine.config import Config, ConfigDict

from rankdet.training.facts import assignment, data, losses, model
from rankdet.training.facts.nodes import call, plain

DETECTOR = "PixelRetinaNet"
HEADS = ("PixelRetinaHead", "PixelATSSRetinaHead")


def loss_bbox(config: Config) -> str:
    """Return the loss on boxes; beta is among the numbers."""
    return losses.loss_bbox(config).replace("(beta=1.0)", "")


def backbone(config: Config) -> str:
    """Return ResNet-50, whether its stem has a bias or not."""
    return model.backbone(config).removeprefix("StemBias")


def neck(config: Config) -> str:
    """Return FPN with its levels."""
    found = config.model.neck
    first = 2 + found.start_level
    source = {"on_input": "C5", "on_output": "P5"}.get(found.add_extra_convs)
    return f"{found.type} (P{first}-P{first + found.num_outs - 1}; P6 from {source})"


def frozen_stages(config: Config) -> str:
    """Return what is not trained."""
    net = config.model.backbone
    stages = {1: "conv1+layer1", 0: "conv1"}.get(net.frozen_stages, "nothing")
    norms = "all BN frozen" if not net.norm_cfg.requires_grad else "BN trained"
    return f"{stages}; {norms} and in {'eval' if net.norm_eval else 'train'}"


def anchors(config: Config) -> str:
    """Return the anchors of a place."""
    found = config.model.bbox_head.anchor_generator
    count = found.scales_per_octave
    scales = ", ".join(["1", *(f"2^{i / count:g}" for i in range(1, count))])
    return (
        f"octave_base_scale={found.octave_base_scale}, scales=[{scales}] ({count} per octave), "
        f"ratios={plain(found.ratios)}, strides={plain(found.strides)} "
        f"-> {count * len(found.ratios)} anchors/location"
    )


def box_coder_stds(config: Config) -> str:
    """Return the divisors of box deltas."""
    return str(plain(config.model.bbox_head.bbox_coder.target_stds))


def head_type(config: Config) -> str:
    """Return the heads, which are the code base's own."""
    head = config.model.bbox_head
    if head.type not in HEADS:
        return model.head_type(config)
    count = head.stacked_convs
    return f"RetinaNet (own code) / {count}-conv cls + {count}-conv reg subnets"


def assigner(config: Config) -> str:
    """Return the assigner; its IoU counts pixels in every row."""
    found = config.model.train_cfg.assigner
    if found.iou_calculator.type != "PixelOverlaps2D":
        return assignment.assigner(config)
    if found.type == "BestAnchorAssigner":
        return (
            f"IoUAssigner(pos>={found.pos_iou_thr}, neg<{found.neg_iou_thr}, "
            "best anchor of each GT also positive)"
        )
    return call(found.type, {"topk": found.topk})


def sampler(config: Config) -> str:
    """Return that there is none."""
    kind = config.model.train_cfg.sampler.type
    return "none (all anchors)" if kind == "PseudoSampler" else kind


def test_scale(config: Config) -> str:
    """Return the size of test images."""
    divisor = config.model.data_preprocessor.pad_size_divisor
    return f"{data.test_scale(config)}, padded to /{divisor}"


def augmentations(config: Config) -> str:
    """Return what happens to training images besides the resizing."""
    steps = data.pipeline(config.train_dataloader)
    said = [SAID[step.type](step) for step in steps if step.type in SAID]
    known = (*SAID, *data.LOADING, "RandomInterpolationResize")
    said += [step.type for step in steps if step.type not in known]
    return "SSD style: " + ", ".join(said)


def _photometric(step: ConfigDict) -> str:
    contrast, saturation = ("-".join(map(str, step[f"{name}_range"])) for name in _RANGES)
    return (
        f"brightness +-{step.brightness_delta}, contrast {contrast}, "
        f"HSV saturation {saturation}, hue +-{step.hue_delta}"
    )


_RANGES = ("contrast", "saturation")
SAID: dict[str, Callable[[ConfigDict], str]] = {
    "SsdPhotometricDistortion": _photometric,
    "LightingNoise": lambda step: f"PCA lighting noise std {step.std}",
    "Expand": lambda step: (
        f"Expand ratio {step.ratio_range[0]}-{step.ratio_range[1]} (p {step.prob}, fill mean)"
    ),
    "OneOverlapCrop": lambda step: (
        f"RandomSampleCrop (min IoU {'/'.join(map(str, step.min_ious))} or free, or none)"
    ),
    "RandomFlip": lambda step: f"RandomMirror {step.prob}",
}


def img_mean(config: Config) -> str:
    """Return the mean that is subtracted, and from what."""
    return f"{data.img_mean(config)} (applied to {_order(config)})"


def img_std(config: Config) -> str:
    """Return the divisor; that of 1 has no order."""
    found = data.img_std(config)
    same = len(set(config.model.data_preprocessor.std)) == 1
    return found if same else f"{found} (applied to {_order(config)})"


def to_rgb(config: Config) -> str:
    """Return that the network sees images as they are read."""
    found = data.to_rgb(config)
    return "False (cv2 BGR)" if found == "False" else found


def _order(config: Config) -> str:
    return "RGB" if config.model.data_preprocessor.bgr_to_rgb else "BGR"


def lr_policy(config: Config) -> str:
    """Return the step rule."""
    main = config.param_scheduler[1]
    kind = "step" if main.type == "MultiStepLR" else main.type
    return f"{kind} (gamma {main.gamma}, after {'epoch' if main.by_epoch else 'iteration'})"


def lr_steps(config: Config) -> str:
    """Return the epochs at which the learning rate falls."""
    return str(plain(config.param_scheduler[1].milestones))


def warmup(config: Config) -> str:
    """Return linear."""
    found = config.param_scheduler[0]
    return "linear" if found.type == "CountedLinearLR" and not found.by_epoch else found.type


def warmup_ratio(config: Config) -> str:
    """Return the share of the learning rate at which the warm-up starts."""
    return str(Fraction(config.param_scheduler[0].start_factor).limit_denominator(100))


def score_thr(config: Config) -> str:
    """Return the lowest score of a detection, per level."""
    found = config.model.test_cfg
    return f"{found.score_thr} on P3-P6, {found.top_level_score_thr:g} on P7"


def nms(config: Config) -> str:
    """Return the NMS of a class."""
    kind = config.model.test_cfg.nms.type
    return "batched_nms per class" if kind == "nms" else kind


def nms_pre(config: Config) -> str:
    """Return how many candidates of a level go to NMS."""
    return f"{config.model.test_cfg.nms_pre} per level"


WORDS: dict[str, Callable[[Config], str]] = {
    function.__name__: function
    for function in (
        *(loss_bbox, backbone, neck, frozen_stages, anchors, box_coder_stds, head_type),
        *(assigner, sampler, test_scale, augmentations, img_mean, img_std, to_rgb, lr_policy),
        *(lr_steps, warmup, warmup_ratio, score_thr, nms, nms_pre),
    )
}
