"""Small random data sets, made to collide: few positions, few scores, few sizes."""

import numpy as np
from hypothesis import strategies as st
from pycocotools import mask as mask_tools

SIDE = 120  # of an image; objects up to 110 reach all three sizes
POSITIONS = [0, 1, 2, 4, 8, 10, 40]
SIZES = [0, 8, 10, 20, 32, 40, 64, 96, 100, 110]
SCORES = [0.0, 0.1, 0.3, 0.3, 0.5, 0.9, 0.95, 1.0]


def _boxes():
    return st.tuples(
        st.sampled_from(POSITIONS),
        st.sampled_from(POSITIONS),
        st.sampled_from(SIZES[1:]),
        st.sampled_from(SIZES[1:]),
    )


@st.composite
def datasets(draw):
    """Draw (ground truth, detections, iou_type); both sides in a scrambled order of images."""
    iou_type = draw(st.sampled_from(["bbox", "bbox", "bbox", "segm"]))
    keeps_box = iou_type == "bbox" or draw(st.booleans())
    images, categories = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    place = st.tuples(st.integers(1, images), st.integers(1, categories))
    objects = draw(st.lists(st.tuples(place, _boxes(), st.integers(0, 9)), max_size=7))
    found = draw(
        st.lists(st.tuples(place, _boxes(), st.sampled_from(SCORES)), min_size=1, max_size=12)
    )
    # Some detections repeat an object exactly, so that IoU 1 and duplicates occur.
    for index in draw(st.lists(st.integers(0, 6), max_size=3)):
        if index < len(objects):
            found.append((objects[index][0], objects[index][1], draw(st.sampled_from(SCORES))))
    annotations = [
        {
            "id": number + 1,
            "image_id": image,
            "category_id": category,
            "bbox": list(map(float, box)),
            # The field may disagree with the box, as mask areas do.
            "area": float(box[2] * box[3]) * (0.5 if kind == 8 else 1.0),
            "iscrowd": int(kind == 9),
            "segmentation": _rle(box),
        }
        for number, ((image, category), box, kind) in enumerate(objects)
    ]
    rows = []
    for (image, category), box, score in found:
        row = {"image_id": image, "category_id": category, "score": score}
        if keeps_box:
            row["bbox"] = list(map(float, box))
        if iou_type == "segm":
            row["segmentation"] = _rle(box)
        rows.append(row)
    truth = {
        "images": [{"id": i, "height": SIDE, "width": SIDE} for i in range(images, 0, -1)],
        "categories": [{"id": i, "name": f"c{i}"} for i in range(1, categories + 1)],
        "annotations": annotations,
    }
    return truth, rows, iou_type


def _rle(box):
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8, order="F")
    x, y, w, h = box
    mask[y : y + h, x : x + w] = 1
    if w > 20:  # not every mask is its box
        mask[y, x] = 0
    rle = mask_tools.encode(mask)
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


def tiny(boxes=((10, 10, 40, 40),), found=((10, 10, 40, 40, 0.9),), **extra):
    """One image, one class; boxes as (x, y, w, h), detections with a score behind."""
    truth = {
        "images": [{"id": 1, "height": SIDE, "width": SIDE}],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [
            {
                "id": number + 1,
                "image_id": 1,
                "category_id": 1,
                "bbox": list(box),
                "area": float(box[2] * box[3]),
                "iscrowd": 0,
                "segmentation": _rle(box),
                **extra,
            }
            for number, box in enumerate(boxes)
        ],
    }
    rows = [
        {"image_id": 1, "category_id": 1, "bbox": list(box), "score": score}
        for *box, score in found
    ]
    return truth, rows


def with_masks(rows, keep_boxes=False):
    """Return the same detections with the mask of their box."""
    return [
        {
            **{key: value for key, value in row.items() if keep_boxes or key != "bbox"},
            "segmentation": _rle([int(value) for value in row["bbox"]]),
        }
        for row in rows
    ]
