"""RetinaNet with a ranking loss, and with the assignment of ATSS."""

from __future__ import annotations

from mmdet.models.dense_heads import ATSSHead, RetinaHead
from mmdet.registry import MODELS

from rankdet.models.heads.dense import RankedDenseHead


@MODELS.register_module()
class RankedRetinaHead(RankedDenseHead, RetinaHead):
    """RetinaNet head with a ranking loss: AP, aLRP or Parameterized AP Loss as published."""


@MODELS.register_module()
class RankedATSSRetinaHead(RankedDenseHead, RetinaHead):
    """`RankedRetinaHead` with ATSS assignment (Zhang et al., CVPR 2020), aLRP's best setting.

    ATSS looks at the pyramid levels, which mmdet's RetinaNet head does not pass to its assigner;
    the target methods are those of mmdet's ATSS head. No centerness is added.
    """

    get_targets = ATSSHead.get_targets
    _get_targets_single = ATSSHead._get_targets_single
    get_num_level_anchors_inside = ATSSHead.get_num_level_anchors_inside
