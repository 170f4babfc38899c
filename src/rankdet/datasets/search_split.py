"""`rankdet prepare search-split`: the train split divided into a search's train and val."""

from __future__ import annotations

import random
from pathlib import Path

from rankdet.datasets.manifest import Manifest, Split
from rankdet.errors import InputError
from rankdet.files import read_json
from rankdet.hashing import file_sha256
from rankdet.outputs import write_json

SEARCH_FILES = ("search_train.json", "search_val.json")  # beside the manifest


def prepare_search_split(data: Manifest, out: str | Path, val_images: int, seed: int) -> Manifest:
    """Divide the annotated train images of ``data`` at random; images are not copied.

    The paper holds 5000 of COCO's train images out; which ones is not published.

    Args:
        data: the prepared data set; its val split is not touched.
        out: the ``dataset.json`` to write, with both annotation files beside it.
        val_images: images of the new val split.
        seed: same seed, same split.

    Raises:
        InputError: unless both splits get an image.
    """
    content = read_json(data.annotations("train"), "a COCO instances file")
    annotated = {row["image_id"] for row in content["annotations"]}
    images = sorted(
        (image for image in content["images"] if image["id"] in annotated), key=lambda i: i["id"]
    )
    if not 0 < val_images < len(images):
        raise InputError(
            f"1 to {len(images) - 1} of the {len(images)} annotated train images",
            str(val_images),
            "correct val_images",
        )
    held_out = {image["id"] for image in random.Random(seed).sample(images, val_images)}
    out = Path(out)
    splits = {}
    for name, chosen in (
        ("train", [image for image in images if image["id"] not in held_out]),
        ("val", [image for image in images if image["id"] in held_out]),
    ):
        ids = {image["id"] for image in chosen}
        rows = [row for row in content["annotations"] if row["image_id"] in ids]
        path = out.parent / f"search_{name}.json"
        write_json(path, {**content, "images": chosen, "annotations": rows}, indent=None)
        splits[name] = Split(
            annotations=path.name,
            images=str(data.images("train").resolve()),
            orientation=data.train.orientation,
            trainable=data.train.trainable,
            without_mask=data.train.without_mask,
            mask_problem=data.train.mask_problem,
            image_count=len(chosen),
            annotation_count=len(rows),
            sha256=file_sha256(path),
        )
    manifest = Manifest(
        name=f"{data.name}-search",
        format=data.format,
        classes=data.classes,
        category_ids=data.category_ids,
        folder=out.parent.resolve(),
        **splits,
    )
    write_json(out, manifest.as_json())
    return manifest
