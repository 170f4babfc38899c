"""The kinds of rows: a row of each is rehearsed, in `make test` without the longest of them.

`make test-heavy` rehearses all others.
"""

from __future__ import annotations

# Kind -> its row with the least work. A kind is what takes a way of its own through the code:
# head, sampling, data set, code base or schedule.
KINDS = {
    "AP-Loss code base, AP": "ext_ap_r50_500",
    "AP-Loss code base, aLRP with windowed balance": "ext_alrp_ap_r50_500",
    "AP-Loss code base, ATSS": "ext_alrp_ap_r50_atss_500",
    "AP RetinaNet": "alrp_mmdet_ap_retinanet_r50_500",
    "aLRP RetinaNet with ATSS": "alrp_mmdet_alrp_atss_r50_500",
    "aLRP FoveaBox": "alrp_mmdet_alrp_fovea_r50_500",
    "aLRP Faster R-CNN": "alrp_mmdet_alrp_frcnn_r50_500",
    "Parameterized AP RetinaNet": "pap_pap_retinanet_r50",
    "Parameterized AP Faster R-CNN": "pap_pap_frcnn_r50",
    "Rank & Sort ATSS": "rs_atss_r50",
    "Rank & Sort PAA": "rs_paa_r50",
    "Rank & Sort Faster R-CNN with CARAFE": "rs_frcnn_plus_r50",
    "Rank & Sort Cascade R-CNN": "rs_cascade_r50",
    "Rank & Sort Mask R-CNN, on LVIS": "rs_mask_r50_lvis",
    "Rank & Sort YOLACT": "rs_yolact_r50",
    "Rank & Sort SOLOv2": "rs_solov2_r34_light",
    "Bucketed AP": "ext_br_bap_atss_r50",
    "Bucketed Rank & Sort on Cityscapes, from a whole model": "ext_br_brs_mask_r50_city",
    "stock control": "control_frcnn_r50",
}
