"""The RetinaNet heads of the AP-Loss code base."""

from __future__ import annotations

from mmdet.models.dense_heads import RetinaHead
from mmdet.registry import MODELS

from rankdet.models.ap_code.decoding import PixelDecoding
from rankdet.models.ap_code.targets import PixelTargets
from rankdet.models.ap_code.terms import WidenedAlrpTerms
from rankdet.models.dense_heads.ap import ApTerms
from rankdet.models.dense_heads.ranked import RankedDenseHead
from rankdet.models.dense_heads.retina import AlrpATSSRetinaHead


@MODELS.register_module()
class PixelApRetinaHead(ApTerms, PixelDecoding, PixelTargets, RankedDenseHead, RetinaHead):
    """RetinaNet head with AP Loss and Smooth L1."""


@MODELS.register_module()
class PixelAlrpRetinaHead(
    WidenedAlrpTerms, PixelDecoding, PixelTargets, RankedDenseHead, RetinaHead
):
    """RetinaNet head with aLRP Loss; best-anchor assignment."""


@MODELS.register_module()
class PixelAlrpATSSRetinaHead(WidenedAlrpTerms, PixelDecoding, PixelTargets, AlrpATSSRetinaHead):
    """`PixelAlrpRetinaHead` with ATSS assignment."""
