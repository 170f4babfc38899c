# Focal loss on the base that all ATSS methods of the study share: anchors, assigner, boxes.
_base_ = ["../control/control_atss_r50.py"]
