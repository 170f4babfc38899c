"""Candidates, thresholds, and views of the same image."""

import torch
from mmengine.config import ConfigDict

from rankdet.models.ap_code.heads import PixelTTAModel, merge_views, suppress, unflip
from tests.unit.models.ap_code.heads import META, SIDES, build


def empty_levels(head, logit=-20.0):
    """Return predictions of one image where nothing scores, and no box moves."""
    places = head.num_base_priors
    logits = [torch.full((places * 3, side, side), logit) for side in SIDES]
    return logits, [torch.zeros(places * 4, side, side) for side in SIDES]


def test_only_the_top_level_has_no_threshold():
    head = build("ext_ap_r50_500")
    logits, deltas = empty_levels(head)
    found = head.candidates(logits, deltas, META, head.test_cfg)
    assert len(found) == head.num_base_priors * 3  # all of the one place of the top level
    logits[0][0, 0, 0] = 0.0
    assert len(head.candidates(logits, deltas, META, head.test_cfg)) == len(found) + 1


def test_the_best_entries_of_a_level_are_kept():
    head = build("ext_ap_r50_500")
    logits, deltas = empty_levels(head, logit=0.0)
    cfg = ConfigDict(head.test_cfg, nms_pre=7)
    assert len(head.candidates(logits, deltas, META, cfg)) == 7 * len(SIDES)


def test_detections_are_in_the_original_image_and_have_mmdets_convention():
    head = build("ext_ap_r50_500")
    logits, deltas = empty_levels(head)
    logits[1][6, 1, 1] = 5.0  # the third anchor of the middle place: class 0, 64 x 64 pixels
    meta = META | dict(scale_factor=(2.0, 2.0))
    found = head._predict_by_feat_single(
        logits, deltas, [None] * 5, None, meta, head.test_cfg, rescale=True
    )
    best = found[int(found.scores.argmax())]
    anchor = head.prior_generator.grid_priors([(side, side) for side in SIDES])[1]
    pixels = anchor.view(4, 4, -1, 4)[1, 1, 2].clamp(0, 63) / 2
    assert torch.equal(best.bboxes[0, :2], pixels[:2])
    assert torch.equal(best.bboxes[0, 2:], pixels[2:] + 1)
    assert best.labels.item() == 0


def test_no_candidate_is_no_detection():
    head = build("ext_ap_r50_500")
    cfg = ConfigDict(head.test_cfg, top_level_score_thr=0.9)
    found = head._predict_by_feat_single(*empty_levels(head), [None] * 5, None, META, cfg)
    assert found.bboxes.shape == (0, 4)


def test_flipped_boxes_come_back_one_pixel_to_the_right():
    boxes = torch.tensor([[10.0, 4.0, 19.0, 9.0]])
    mirrored = torch.tensor([[64 - 1 - 19.0, 4.0, 64 - 1 - 10.0, 9.0]])
    assert torch.equal(unflip(mirrored, 64), boxes + torch.tensor([1.0, 0, 1, 0]))


def test_a_size_limit_is_on_the_short_side():
    head = build("ext_ap_r50_500")
    logits, deltas = empty_levels(head)
    without_nms = ConfigDict(head.test_cfg, nms=None, max_per_img=-1, score_thr=0.0)
    view = head._predict_by_feat_single(logits, deltas, [None] * 5, None, META, without_nms)
    kept = merge_views([view], [META], [20], without_nms)
    sides = (kept.bboxes[:, 2:] - kept.bboxes[:, :2]).amin(1)
    assert 0 < len(kept) < len(view) and sides.max() <= 21
    assert len(merge_views([view], [META], [0], without_nms)) == len(view)


def test_the_model_with_views_agrees_with_one_view():
    """One unflipped view is the plain detection."""
    import copy

    from mmdet.registry import MODELS
    from mmdet.structures import DetDataSample
    from mmdet.utils import register_all_modules

    from rankdet.models.build import load_config
    from rankdet.training import shrink

    register_all_modules()
    model = load_config("ext_ap_r50_500").model
    shrink.drop_pretrained(model)
    shrink.small_network(model)
    shrink.set_classes(model, 3)
    detector = MODELS.build(model).eval()
    detector.init_weights()
    cfg = copy.deepcopy(model.test_cfg)
    image = torch.randint(0, 255, (3, 64, 64), dtype=torch.uint8)

    def batch():
        sample = DetDataSample(metainfo=dict(img_shape=(64, 64), scale_factor=(1.0, 1.0)))
        return dict(inputs=[image], data_samples=[sample])

    plain = detector.test_step(batch())[0].pred_instances
    viewed = PixelTTAModel(tta_cfg=ConfigDict(cfg), module=detector)
    views = batch()
    found = viewed.test_step({key: [value] for key, value in views.items()})[0].pred_instances
    assert len(plain) == len(found) > 0
    torch.testing.assert_close(found.bboxes, plain.bboxes)
    torch.testing.assert_close(found.scores, plain.scores)


def test_suppression_is_by_class():
    from mmengine.structures import InstanceData

    found = InstanceData(
        bboxes=torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 8], [0, 0, 9, 9]], dtype=torch.float64),
        scores=torch.tensor([0.9, 0.8, 0.7]),
        labels=torch.tensor([0, 0, 1]),
    )
    cfg = ConfigDict(nms=dict(type="nms", iou_threshold=0.5), max_per_img=100)
    kept = suppress(found, cfg, pixel_offset=1.0)
    assert kept.labels.tolist() == [0, 1]
    assert kept.bboxes[0].tolist() == [0, 0, 10, 10]
