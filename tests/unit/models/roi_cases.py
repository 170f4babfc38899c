"""Small RoI heads and batches for the tests of this folder."""

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

import rankdet.models  # noqa: F401

CHANNELS, CLASSES, SIDE = 4, 3, 64
STRIDES = (4, 8, 16, 32)
LOSSES = {
    "RankSortStep": dict(type="RankSortLoss", use_sigmoid=True),
    "AlrpStep": dict(type="AlrpLoss", use_sigmoid=True),
}


def extractor(size):
    return dict(
        type="SingleRoIExtractor",
        roi_layer=dict(type="RoIAlign", output_size=size, sampling_ratio=0),
        out_channels=CHANNELS,
        featmap_strides=list(STRIDES),
    )


def box_head(step="RankSortStep", **settings):
    own = dict(self_balance=dict(period=3)) if step == "AlrpStep" else {}
    return dict(
        dict(
            type="RankedShared2FCBBoxHead",
            in_channels=CHANNELS,
            fc_out_channels=8,
            num_classes=CLASSES,
        ),
        reg_decoded_bbox=True,
        loss_step=dict(type=step),
        loss_cls=LOSSES[step],
        loss_bbox=dict(type="GIoULoss", reduction="none"),
        **own,
        **settings,
    )


def mask_parts():
    head = dict(
        type="RankSortFCNMaskHead",
        in_channels=CHANNELS,
        conv_out_channels=4,
        num_convs=1,
        num_classes=CLASSES,
        loss_mask=dict(type="DiceLoss", reduction="none", eps=5e-6),
    )
    return dict(mask_roi_extractor=extractor(14), mask_head=head)


def roi_head(box, seed=0, **settings):
    sampler = dict(type="RandomSampler", num=int(1e10), pos_fraction=0.25)
    assigner = dict(type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5)
    stage = dict(assigner=assigner, sampler=sampler, mask_size=28, pos_weight=-1)
    stages = settings.get("num_stages")
    config = dict(
        dict(type="RankSortRoIHead"),
        bbox_roi_extractor=extractor(7),
        bbox_head=box,
        train_cfg=[stage] * stages if stages else stage,
        test_cfg=dict(score_thr=0.05, nms=dict(type="nms", iou_threshold=0.5), max_per_img=100),
        **settings,
    )
    torch.manual_seed(seed)
    head = MODELS.build(ConfigDict(config))
    for parameter in head.parameters():  # well away from zero, so that all scores differ
        torch.nn.init.normal_(parameter, std=0.3)
    return head


def batch(images, empty=(), objects=3, near=8, far=6, seed=0):
    """Return features, proposals and samples: ``near`` boxes around each object, ``far`` others."""
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape):
        return torch.rand(*shape, generator=generator)

    features = [
        torch.randn(images, CHANNELS, SIDE // s, SIDE // s, generator=generator) for s in STRIDES
    ]
    proposals, samples = [], []
    for image in range(images):
        count = 0 if image in empty else objects
        corner = 36 * rand(count, 2)
        boxes = torch.cat([corner, corner + 14 + 10 * rand(count, 2)], 1)
        around = boxes.repeat(near, 1) + 3 * (rand(near * count, 4) - 0.5)
        corner = 40 * rand(far, 2)
        others = torch.cat([corner, corner + 8 + 12 * rand(far, 2)], 1)
        truth = InstanceData(
            bboxes=boxes, labels=torch.randint(CLASSES, (count,), generator=generator)
        )
        masks = np.zeros((count, SIDE, SIDE), np.uint8)
        for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
            mask[top:bottom, left : (left + right) // 2] = 1
        truth.masks = BitmapMasks(masks, SIDE, SIDE)
        meta = dict(img_shape=(SIDE, SIDE), ori_shape=(SIDE, SIDE), scale_factor=(1.0, 1.0))
        proposals.append(InstanceData(bboxes=torch.cat([around, others])))
        samples.append(DetDataSample(metainfo=meta, gt_instances=truth))
    return features, proposals, samples


def part(data, rows):
    """Return some images of a batch; proposals are consumed by a loss, so they are new."""
    features, proposals, samples = data
    fresh = [InstanceData(bboxes=item.bboxes.clone()) for item in proposals[rows]]
    return [level[rows] for level in features], fresh, samples[rows]


def losses(head, data):
    """Return the losses, the gradients of the features, and those of the parameters."""
    features, proposals, samples = part(data, slice(None))
    leaves = [level.clone().requires_grad_() for level in features]
    head.zero_grad()
    found = head.loss(leaves, proposals, samples)
    sum(found.values()).backward()
    parameters = {name: value.grad for name, value in head.named_parameters()}
    return (
        {name: value.detach() for name, value in found.items()},
        [leaf.grad for leaf in leaves],
        parameters,
    )
