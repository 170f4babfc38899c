"""RetinaNet with AP Loss and with aLRP Loss."""

from __future__ import annotations

from mmdet.models.dense_heads import ATSSHead, RetinaHead
from mmdet.registry import MODELS

from rankdet.models.dense_heads.alrp import AlrpTerms
from rankdet.models.dense_heads.ap import ApTerms
from rankdet.models.dense_heads.preselection import AnchorPreselection
from rankdet.models.dense_heads.ranked import RankedDenseHead


@MODELS.register_module()
class ApRetinaHead(ApTerms, AnchorPreselection, RankedDenseHead, RetinaHead):
    """RetinaNet head with AP Loss and Smooth L1."""


@MODELS.register_module()
class AlrpRetinaHead(AlrpTerms, AnchorPreselection, RankedDenseHead, RetinaHead):
    """RetinaNet head with aLRP Loss; MaxIoU assignment."""


@MODELS.register_module()
class AlrpATSSRetinaHead(AlrpRetinaHead):
    """`AlrpRetinaHead` with ATSS assignment (Zhang et al., CVPR 2020), the paper's best setting.

    ATSS looks at the pyramid levels, which mmdet's RetinaNet head does not pass to its assigner;
    the target methods are those of mmdet's ATSS head. No centre-ness is added.
    """

    get_targets = ATSSHead.get_targets
    _get_targets_single = ATSSHead._get_targets_single
    get_num_level_anchors_inside = ATSSHead.get_num_level_anchors_inside
