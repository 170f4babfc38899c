"""Model: backbone, neck, anchors, coder, heads."""

from __future__ import annotations

from mmengine.config import Config, ConfigDict

from rankdet.training.facts.nodes import heads, mask_head, plain

NECKS = {"FPN_CARAFE": "CARAFE-FPN", "AnyDeviceFPNCarafe": "CARAFE-FPN"}
ANCHOR_FACTS = (
    *("scales", "octave_base_scale", "scales_per_octave", "base_sizes", "ratios"),
    *("strides", "centers"),
)
# Loss step of a head here -> what the official class name of the head starts with.
STEPS = {
    "ApStep": "APLoss",
    "AlrpStep": "aLRPLoss",
    "RankSortStep": "RankBased",
    "WeightedApStep": "RankBased",
    "ParameterizedApStep": "PAPLoss",
}
# Class here -> class of the official code.
OFFICIAL = {
    "RankSortRoIHead": "RankBasedStandardRoIHead",
    "RankSortFCNMaskHead": "RankBasedFCNMaskHead",
    "RankSortSOLOV2Head": "RankBasedSOLOv2Head",
}


def backbone(config: Config) -> str:
    """Return ResNet-50, ResNeXt-101-64x4d-DCN, ..."""
    net = config.model.backbone
    name = f"{net.type}-{net.depth}"
    if net.type == "ResNeXt":
        name += f"-{net.groups}x{net.base_width}d"
    return name + ("-DCN" if net.get("dcn") else "")


def dcn(config: Config) -> str:
    """Return the deformable convolutions of the backbone."""
    net = config.model.backbone
    if not net.get("dcn"):
        return ""
    return (
        f"{net.dcn.type} deform_groups={net.dcn.deform_groups} stages={plain(net.stage_with_dcn)}"
    )


def frozen_stages(config: Config) -> str:
    """Return how many stages are not trained."""
    return str(config.model.backbone.get("frozen_stages", -1))


def norm_eval(config: Config) -> str:
    """Return whether batch norm keeps its statistics."""
    return str(config.model.backbone.get("norm_eval", True))


def pretrained(config: Config) -> str:
    """Return the name of the backbone's first weights."""
    return (config.model.backbone.get("init_cfg") or {}).get("checkpoint", "")


def neck(config: Config) -> str:
    """Return FPN, CARAFE-FPN, ..."""
    found = config.model.neck
    return NECKS.get(found.type, found.type)


def anchors(config: Config) -> str:
    """Return anchors, FoveaBox's levels or SOLO's grids, per head that has any."""
    said = []
    for name, head in heads(config):
        text = _anchors(head)
        if text:
            said.append(f"{name}: {text}")
    return " | ".join(said)


def _anchors(head: ConfigDict) -> str:
    if "anchor_generator" in head:
        found = head.anchor_generator
        return ", ".join(f"{key}={plain(found[key])}" for key in ANCHOR_FACTS if key in found)
    if "base_edge_list" in head:
        return (
            f"anchor-free, base_edge={plain(head.base_edge_list)}, "
            f"scale_ranges={plain(head.scale_ranges)}, strides={plain(head.strides)}, "
            f"sigma={head.sigma}"
        )
    if "num_grids" in head:
        sigma = head.get("pos_scale", head.get("sigma", 0.2))
        return (
            f"grids={plain(head.num_grids)}, scale_ranges={plain(head.scale_ranges)}, "
            f"strides={plain(head.strides)}, sigma={sigma}"
        )
    return ""


def box_coder_stds(config: Config) -> str:
    """Return the divisors of box deltas, per head."""
    said = {
        name: str(plain(head.bbox_coder.target_stds))
        for name, head in heads(config)
        if "target_stds" in head.get("bbox_coder", {})
    }
    stages = {name: text for name, text in said.items() if name.startswith("bbox")}
    if len(stages) > 1 and len(set(stages.values())) == 1:  # a cascade with one coder for all
        said = {name: text for name, text in said.items() if name not in stages}
        said["bbox"] = next(iter(stages.values()))
    return " | ".join(f"{name}: {text}" for name, text in said.items())


def head_type(config: Config) -> str:
    """Return the detector and its heads by their official class names."""
    model = config.model
    said = [model.type]
    if "rpn_head" in model:
        said.append(f"rpn={_official(model.rpn_head)}")
    if "roi_head" in model:
        said.append(f"roi={_official(model.roi_head)}")
    said += [f"bbox={_official(head)}" for name, head in heads(config) if name in ("bbox", "bbox0")]
    mask = mask_head(config)
    if mask is not None and "mask_feature_head" in mask:
        said.append("mask_feat=MaskFeatHead")
    elif mask is not None:
        said.append(f"mask={_official(mask)}")
    return " / ".join(said)


def _official(head: ConfigDict) -> str:
    if head.type.startswith("Ranked"):
        detector = head.type.removeprefix("Ranked").replace("ATSSRetina", "Retina")
        return STEPS[head.loss_step.type] + detector
    return OFFICIAL.get(head.type, head.type)
