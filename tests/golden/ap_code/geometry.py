"""Kinds ``anchors`` and ``boxes``."""

from __future__ import annotations

import hashlib

from rankdet.models.ap_code.geometry import PixelOverlaps2D, to_edges, to_pixels
from rankdet.models.boxes import giou_errors_with_added_eps
from tests.golden.ap_code.cases import ANCHORS, BOXES, SINGLE, Check, replays
from tests.golden.ap_code.heads import build_head, grid

EXACT = 1e-12  # of float64 sums and ratios
LOGS = 1e-6  # of encodings up to 20, from float32 boxes


@replays("anchors")
def replay_anchors(check: Check) -> None:
    """Compare the anchors of a place, of a small image, and digests of two real sizes."""
    about, arrays = check.case.about, check.case.arrays
    head = build_head("ae_ap" if about["anchors_per_place"] == 6 else "ae_alrp_atss", 80)
    generator = head.prior_generator
    for level, base in enumerate(generator.base_anchors):
        check.close(f"base_{level}", base, arrays[f"base_{level}"], ANCHORS)
    for level, anchors in enumerate(generator.grid_priors(grid(about["small_hw"]))):
        check.close(f"small_{level}", anchors, arrays[f"small_level{level}"], ANCHORS)
    for height, width in about["sizes_hw"]:
        for level, anchors in enumerate(generator.grid_priors(grid((height, width)))):
            name = f"{height}x{width}_level{level}"
            check.close(name, anchors[::97], arrays[f"every97_{name}"], ANCHORS)
            check.close(name, anchors.sum(0), arrays[f"sum_{name}"], EXACT, True)
            check.close(name, anchors.square().sum(0), arrays[f"sumsq_{name}"], EXACT, True)
            told = about["levels"][name]
            check.equal(f"count of {name}", len(anchors), told["count"])
            digest = hashlib.sha256(anchors.float().numpy().tobytes()).hexdigest()
            check.require(digest == told["sha256_float32"], f"float32 bytes of {name}")


@replays("boxes")
def replay_boxes(check: Check) -> None:
    """Compare coder, IoU, GIoU and localisation errors."""
    arrays = check.case.arrays
    anchors, truth = check.case.tensor("anchor"), check.case.tensor("gt").double()
    deltas = check.case.tensor("deltas")
    heads = {measure: build_head(f"ae_alrp{measure}", 80) for measure in ("", "_iou")}
    head = heads[""]
    check.close("encode", head.bbox_coder.encode(anchors, truth), arrays["encode_f64"], LOGS, True)
    check.close("decode", head.bbox_coder.decode(anchors, deltas), arrays["decode"], BOXES)
    clipped = head.bbox_coder.decode(anchors, deltas, max_shape=tuple(arrays["clip_hw"].tolist()))
    check.close("decode_clipped", clipped, arrays["decode_clipped"], BOXES)
    unit = to_pixels(head.decode(anchors, deltas))
    check.close("unit_pred", unit, arrays["unit_pred"], SINGLE, True)
    encoded = head.bbox_coder.encode(anchors, truth).float()
    unit = to_pixels(head.decode(anchors, encoded))
    check.close("unit_target", unit, arrays["unit_target"], SINGLE, True)
    pair = [to_edges(check.case.tensor(f"unit_{name}").double()) for name in ("pred", "target")]
    for measure, name in (("", "giou"), ("_iou", "iou")):
        errors = heads[measure].loss_step.box_errors(*pair)
        check.close(
            f"e_{name}", errors / (2 * (1 - head.loss_step.tau)), arrays[f"e_{name}"], EXACT
        )
        values = 1 - (errors if name == "giou" else errors / 2)
        check.close(f"{name}_unit", values, arrays[f"{name}_unit"], EXACT)
    overlaps = PixelOverlaps2D()
    check.close("iou_pixel", overlaps(anchors, truth, is_aligned=True), arrays["iou_pixel"], EXACT)
    pixels = 1 - giou_errors_with_added_eps(to_edges(anchors), to_edges(truth), eps=1e-7)
    check.close("giou_pixel", pixels, arrays["giou_pixel"], EXACT)
    matrix = overlaps(anchors[:60], truth[20:75])
    check.close("iou_matrix", matrix, arrays["iou_matrix_anchor0_60_gt20_75"], EXACT)
