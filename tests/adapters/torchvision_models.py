"""Small models of torchvision, a batch, and what their losses are by hand."""

import torch
from torchvision.models import detection
from torchvision.ops import box_iou, generalized_box_iou

from rankdet.losses import rank_sort_loss, scale_to_value

CLASSES = 5  # with the background, as torchvision counts
BUILDERS = {
    "retinanet": detection.retinanet_resnet50_fpn,
    "fcos": detection.fcos_resnet50_fpn,
    "faster_rcnn": detection.fasterrcnn_mobilenet_v3_large_320_fpn,
}
KEYS = {
    "retinanet": {"classification", "bbox_regression"},
    "fcos": {"classification", "bbox_regression", "bbox_ctrness"},
    "faster_rcnn": {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"},
}


def new_model(name, seed=0):
    torch.manual_seed(seed)
    return BUILDERS[name](
        weights=None, weights_backbone=None, num_classes=CLASSES, min_size=64, max_size=64
    )


def batch(objects=(2, 1)):
    """Images and targets with so many objects in each image."""
    generator = torch.Generator().manual_seed(1)
    images, targets = [], []
    for count in objects:
        images.append(torch.rand(3, 64, 64, generator=generator))
        corner = torch.rand(count, 2, generator=generator) * 24
        side = 16 + torch.rand(count, 2, generator=generator) * 20
        labels = torch.randint(1, CLASSES, (count,), generator=generator)
        targets.append({"boxes": torch.cat((corner, corner + side), 1), "labels": labels})
    return images, targets


def rank_sort_by_hand(logits, positives, classes, ignored, boxes, truths):
    """Both terms from lists of places: logits [A, C], rows and classes of positives, boxes."""
    iou = box_iou(boxes.detach(), truths).diag()
    targets = torch.zeros_like(logits)
    targets[ignored] = -1
    targets[positives, classes] = iou
    ranking, sorting = rank_sort_loss(logits.flatten(), targets.flatten())
    weights = logits.detach()[positives].sigmoid().amax(1)
    giou = generalized_box_iou(boxes, truths).diag()
    box = (weights * (1 - giou)).sum() / weights.sum()
    return ranking + sorting, scale_to_value(box, ranking + sorting)
