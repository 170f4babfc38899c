"""Small detectors of torchvision and transformers with random weights, for benchmarks.adapters."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from itertools import pairwise

import torch
import transformers as hf
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign

from rankdet.adapters import torchvision as on_torchvision
from rankdet.adapters import transformers as on_transformers

CLASSES, CHANNELS = 10, 32
SIDE = 96  # pixels; the images of the set have 256
LOWEST = 1e-3  # score of a detection: after a short training many are below the usual 0.05
LEVELS = ["0", "1", "2"]  # strides 8, 16, 32
SIZES = ((14, 18, 22), (28, 36, 44), (56, 70, 88))


class Backbone(nn.Module):
    """Five stages of two convolutions, and a feature pyramid from the third on."""

    out_channels = CHANNELS

    def __init__(self) -> None:
        super().__init__()
        widths = [3, 16, 32, 48, 64, 96]
        self.stages = nn.ModuleList(
            nn.Sequential(_conv(one, other, 2), _conv(other, other, 1))
            for one, other in pairwise(widths)
        )
        self.pyramid = FeaturePyramidNetwork(widths[3:], CHANNELS)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Features of strides 8, 16 and 32 of images."""
        found = OrderedDict()
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number >= 2:
                found[str(number - 2)] = x
        return self.pyramid(found)


def _conv(one: int, other: int, stride: int) -> nn.Sequential:
    layer = nn.Conv2d(one, other, 3, stride, 1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(other), nn.ReLU(inplace=True))


def _common() -> dict:
    return dict(min_size=SIDE, max_size=SIDE)


def retinanet() -> nn.Module:
    anchors = AnchorGenerator(SIZES, ((0.5, 1.0, 2.0),) * 3)
    # Without norm layers the signal nearly vanishes in towers this narrow.
    head = RetinaNetHead(CHANNELS, 9, CLASSES + 1, norm_layer=partial(nn.GroupNorm, 16))
    return detection.RetinaNet(
        Backbone(),
        CLASSES + 1,
        anchor_generator=anchors,
        head=head,
        score_thresh=LOWEST,
        detections_per_img=100,
        **_common(),
    )


def fcos() -> nn.Module:
    anchors = AnchorGenerator(((8,), (16,), (32,)), ((1.0,),) * 3)
    return detection.FCOS(
        Backbone(), CLASSES + 1, anchor_generator=anchors, score_thresh=LOWEST, **_common()
    )


def faster_rcnn() -> nn.Module:
    pool = MultiScaleRoIAlign(LEVELS, 5, 2)
    return detection.FasterRCNN(
        Backbone(),
        rpn_anchor_generator=AnchorGenerator(SIZES, ((0.5, 1.0, 2.0),) * 3),
        rpn_post_nms_top_n_train=100,
        rpn_post_nms_top_n_test=100,
        box_roi_pool=pool,
        box_head=TwoMLPHead(CHANNELS * 25, 128),
        box_predictor=FastRCNNPredictor(128, CLASSES + 1),
        box_score_thresh=LOWEST,
        **_common(),
    )


def _resnet(kind: type) -> hf.PreTrainedConfig:
    return kind(
        embedding_size=16,
        hidden_sizes=[16, 32, 64, 96],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )


def rt_detr() -> nn.Module:
    config = hf.RTDetrConfig(
        backbone_config=_resnet(hf.RTDetrResNetConfig),
        freeze_backbone_batch_norms=False,
        num_labels=CLASSES,
        encoder_hidden_dim=64,
        encoder_in_channels=[32, 64, 96],
        encoder_ffn_dim=128,
        encoder_attention_heads=4,
        d_model=64,
        num_queries=50,
        decoder_in_channels=[64, 64, 64],
        decoder_ffn_dim=128,
        decoder_layers=2,
        decoder_attention_heads=4,
        num_denoising=40,
    )
    return hf.RTDetrForObjectDetection(config)


def deformable_detr() -> nn.Module:
    config = hf.DeformableDetrConfig(
        num_labels=CLASSES,
        use_timm_backbone=False,
        backbone=None,
        backbone_config=_resnet(hf.ResNetConfig),
        num_feature_levels=3,
        num_queries=50,
        d_model=64,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        auxiliary_loss=True,
        with_box_refine=True,
        dropout=0.0,
    )
    model = hf.DeformableDetrForObjectDetection(config)
    for each in model.parameters():  # the library freezes the stem, which is random here
        each.requires_grad_(True)
    return model


BUILDERS = {
    "retinanet": retinanet,
    "fcos": fcos,
    "faster_rcnn": faster_rcnn,
    "rt_detr": rt_detr,
    "deformable_detr": deformable_detr,
}


def _is_detr(model: nn.Module) -> bool:
    return isinstance(model, hf.PreTrainedModel)


def _adapter(model: nn.Module):
    return on_transformers if _is_detr(model) else on_torchvision


# By name: a model and its steps per epoch -> the model with the loss.
LOSSES = {
    "library": lambda model, period: model,
    "rank_sort": lambda model, period: _adapter(model).use_rank_sort(model),
    "alrp": lambda model, period: _adapter(model).use_alrp(model, period=period),
    "ap": lambda model, period: _adapter(model).use_ap_loss(model),
}


def losses_of(model: nn.Module, images: Tensor, targets: list[dict]) -> Tensor:
    """The loss of images [B, 3, H, W] and targets with xyxy boxes and labels 1..C."""
    if not _is_detr(model):
        return sum(model(list(images), targets).values())
    labels = []
    for target in targets:
        corner, other = target["boxes"].split(2, 1)
        boxes = torch.cat(((corner + other) / 2, other - corner), 1) / SIDE
        labels.append({"class_labels": target["labels"] - 1, "boxes": boxes})
    return model(pixel_values=(images - 0.45) / 0.25, labels=labels).loss


def detections(model: nn.Module, images: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Boxes xyxy, scores and labels 1..C of each image, at most 100."""
    if not _is_detr(model):
        return [(each["boxes"], each["scores"], each["labels"]) for each in model(list(images))]
    output = model(pixel_values=(images - 0.45) / 0.25)
    scores, places = output.logits.sigmoid().flatten(1).topk(100)
    found = []
    for own, place, boxes in zip(scores, places, output.pred_boxes, strict=True):
        center, size = boxes[place // CLASSES].split(2, 1)
        corners = torch.cat((center - size / 2, center + size / 2), 1) * SIDE
        found.append((corners, own, place % CLASSES + 1))
    return found
