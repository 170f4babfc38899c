"""LVIS v1 annotations as an mmdet dataset, without the `lvis` package."""

from __future__ import annotations

from mmdet.datasets import CocoDataset
from mmdet.datasets.lvis import LVISV1Dataset
from mmdet.registry import DATASETS


@DATASETS.register_module()
class LvisDataset(CocoDataset):
    """Reads LVIS v1 and COCO JSON through pycocotools.

    mmdet's LVISV1Dataset needs the `lvis` package, which stops with NumPy 1.24 and later. An LVIS
    file names images by ``coco_url`` only, because its splits mix the folders of COCO 2017:
    ``data_prefix`` is then the folder that holds both. For repeat factors wrap it in mmdet's
    ClassBalancedDataset, which counts the images of each class: of every annotation, those too
    small or outside of the image included, as in mmdet 2. mmdet 3.3 counts what it trains on.
    """

    METAINFO = {"classes": LVISV1Dataset.METAINFO["classes"]}

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Return mmdet's form of one image and its annotations."""
        image = raw_data_info["raw_img_info"]
        if "file_name" not in image:
            image["file_name"] = "/".join(image["coco_url"].split("/")[-2:])
        info = super().parse_data_info(raw_data_info)
        named = {annotation["category_id"] for annotation in raw_data_info["raw_ann_info"]}
        return info | {"category_ids": sorted(named)}

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the ids of all categories that an image is annotated with."""
        return self.get_data_info(idx)["category_ids"]
