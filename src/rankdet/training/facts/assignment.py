"""Which anchors, places or RoIs train a head."""

from __future__ import annotations

from mmengine.config import Config

from rankdet.training.facts.nodes import call, final_head, training_parts

# Defaults of mmdet, so that a setting that is said and one that is not compare equal.
MAX_IOU = dict(min_pos_iou=0.0, match_low_quality=True, ignore_iof_thr=-1, gt_max_assign_all=True)


def assigner(config: Config) -> str:
    """Return the assigner, per part of a two-stage detector."""
    said = []
    for name, part in training_parts(config):
        settings = {key: value for key, value in part.assigner.items() if key != "type"}
        text = call(part.assigner.type, settings)
        said.append(f"{name}: {text}" if name else text)
    return " | ".join(said)


def sampler(config: Config) -> str:
    """Return the sampler, per part; a part without one uses everything."""
    if "anchor_generator" not in final_head(config) and "rpn_head" not in config.model:
        return "n/a"
    said = []
    for name, part in training_parts(config):
        found = dict(part.get("sampler") or {"type": "PseudoSampler"})
        kind = found.pop("type")
        text = "PseudoSampler (all anchors)" if kind == "PseudoSampler" else call(kind, found)
        said.append(f"{name}: {text}" if name else text)
    return " | ".join(said)
