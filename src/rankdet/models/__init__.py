"""mmdet plug-ins; importing this registers them (configs do, through `custom_imports`)."""

from rankdet.models import losses, metric
from rankdet.models.dense_heads import rank_sort as dense_rank_sort
from rankdet.models.dense_heads import (
    rank_sort_protonet,
    rank_sort_solov2,
    rank_sort_yolact,
    retina,
)
from rankdet.models.roi_heads import rank_sort as roi_rank_sort

__all__ = [
    "dense_rank_sort",
    "losses",
    "metric",
    "rank_sort_protonet",
    "rank_sort_solov2",
    "rank_sort_yolact",
    "retina",
    "roi_rank_sort",
]
