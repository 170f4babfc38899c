"""Small heads of the entries' configs, and batches for them."""

import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from rankdet.models.build import load_config

ENTRIES = ("ext_ap_r50_500", "ext_alrp_ap_r50_500", "ext_alrp_ap_r50_atss_500")
SIDES = (8, 4, 2, 1, 1)  # of the levels of a 64 x 64 image
META = dict(img_shape=(64, 64), pad_shape=(64, 64), scale_factor=(1.0, 1.0))


def build(entry, **changes):
    """Return the head of an entry with three classes and few channels."""
    register_all_modules()
    model = load_config(entry).model
    head = ConfigDict(model.bbox_head)
    head.update(num_classes=3, in_channels=8, feat_channels=8, stacked_convs=1)
    head.update(train_cfg=model.train_cfg, test_cfg=model.test_cfg, **changes)
    return MODELS.build(head)


def predictions(head, images, seed=0):
    """Return random logits and deltas per level, as leaves."""
    generator = torch.Generator().manual_seed(seed)
    places = head.num_base_priors
    logits = [torch.randn(images, places * 3, s, s, generator=generator) - 2 for s in SIDES]
    deltas = [0.3 * torch.randn(images, places * 4, s, s, generator=generator) for s in SIDES]
    for level in (*logits, *deltas):
        level.requires_grad_()
    return logits, deltas


def truth(*boxes):
    """Return the ground truth of an image; class i for box i."""
    return InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.arange(len(boxes)) % 3,
    )
