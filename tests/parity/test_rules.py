"""What the papers say about all rows of a loss, checked on the resolved configs.

The official settings name each value; here stands why: the rules of DETECTORS.md and
LOSSES.md (by section), on every head, stage and row that they are about.
"""

import pytest

from rankdet.losses import SEARCHED_CONTROL_POINTS
from rankdet.training.shrink import nodes
from tests.parity.rows import CATALOGUE, WITH_CONFIG, by_id, paper

# The catalogue's name of a loss -> class here, delta, eps; 0.1, 0.2, 0.3, LOSSES 5.
RANKING = {
    "AP": ("ApLoss", 1.0, None),
    "BAP": ("BucketedApLoss", 1.0, 1e-10),
    "aLRP": ("AlrpLoss", 1.0, 1e-5),
    "RS": ("RankSortLoss", 0.5, 1e-10),
    "BRS": ("BucketedRankSortLoss", 0.5, 1e-10),
    "PAP": ("ParameterizedApLoss", None, None),
}
RANKED = [entry for entry in WITH_CONFIG if entry.loss_cls in RANKING]
SORTED = [entry for entry in RANKED if entry.loss_cls in ("RS", "BRS")]
TWO_STAGE = [entry for entry in RANKED if "rpn_head" in paper(entry.entry_id).model]


def ranking_heads(entry):
    """Return each head of a row that classifies: RPN, box head, every stage; SOLOv2's mask head."""
    return [node for node in nodes(paper(entry.entry_id).model) if "loss_cls" in node]


def of_ids(entries):
    return pytest.mark.parametrize("entry", entries, ids=by_id)


def test_the_rules_are_about_rows():
    assert len(RANKED) == 64 and len(SORTED) == 35 and len(TWO_STAGE) == 29
    assert sum(len(ranking_heads(entry)) for entry in RANKED) == 35 + 26 * 2 + 3 * 4


@of_ids(RANKED)
def test_every_head_ranks_with_the_loss_of_the_row(entry):
    """Nowhere is a stock loss left over; delta and eps are the paper's (AP-PAA: LOSSES 8.1)."""
    kind, delta, eps = RANKING[entry.loss_cls]
    if entry.loss_cls in ("AP", "BAP") and "_paa_" in entry.entry_id:
        delta = 0.5
    for head in ranking_heads(entry):
        assert head.loss_cls.type == kind
        assert head.loss_cls.get("delta", delta) == delta
        assert head.loss_cls.get("eps", eps) == eps
        assert head.loss_cls.use_sigmoid is True


@of_ids(RANKED)
def test_every_head_ranks_the_images_of_one_official_gpu(entry):
    """0: "all images on one GPU"; a head without pool_images would rank the whole batch."""
    images = entry.official.pool_images
    assert images in (1, 4, 8)
    assert [head.get("pool_images") for head in ranking_heads(entry)] == [images] * len(
        ranking_heads(entry)
    )
    # As many in a batch: no pool holds images of two official batches.
    assert paper(entry.entry_id).train_dataloader.batch_size == images


@of_ids([entry for entry in WITH_CONFIG if entry not in RANKED])
def test_stock_rows_rank_nothing(entry):
    assert not [node for node in nodes(paper(entry.entry_id).model) if "pool_images" in node]


@of_ids([entry for entry in RANKED if entry.loss_cls in ("aLRP", "RS", "BRS", "PAP")])
def test_boxes_are_trained_by_giou_without_a_weight(entry):
    """0.2, 0.3, 5: one error per positive; balance and weights are the head's."""
    for head in ranking_heads(entry):
        if "loss_bbox" in head:
            assert dict(head.loss_bbox) == dict(type="GIoULoss", reduction="none")


@of_ids([entry for entry in RANKED if "bbox_coder" in str(ranking_heads(entry)[0])])
def test_box_deltas_have_the_same_divisors_everywhere(entry):
    """3, 6: "coder stds 0.1/0.2 in both stages", "all stds 0.1/0.2"."""
    for head in ranking_heads(entry):
        assert list(head.bbox_coder.target_stds) == [0.1, 0.1, 0.2, 0.2]


@of_ids([entry for entry in RANKED if entry.loss_cls == "aLRP"])
def test_every_head_of_alrp_balances_itself(entry):
    """0.2: w = 50 at the start, renewed after 3665 steps at any batch; 4: at the epoch's end."""
    for head in ranking_heads(entry):
        if entry.entry_id.startswith(("alrp_ap_", "ext_alrp_ap_")):
            expected = dict(initial=50.0, window=300, interval=50, entries=50)
        else:
            expected = dict(initial=50.0, period=3665)
        assert dict(head.self_balance) == expected


@of_ids(TWO_STAGE)
def test_an_rpn_counts_a_fifth_unless_it_has_searched_functions(entry):
    """3, 6: head_weight 0.20 on all terms of the RPN; 5: none in Parameterized AP."""
    weight = paper(entry.entry_id).model.rpn_head.get("head_weight")
    assert weight == (None if entry.loss_cls == "PAP" else 0.20)


# 5 and ext_br LVIS: the released files leave mmdet's RPN sampler in.
SAMPLED_RPN = {"pap_pap_frcnn_r50", "ext_br_rs_mask_r50_lvis", "ext_br_brs_mask_r50_lvis"}


@of_ids(TWO_STAGE)
def test_ranking_losses_see_all_anchors_and_proposals(entry):
    """3: no sampler, no ground truth among proposals; 6: RandomSampler(1e10) adds ground truth."""
    training = paper(entry.entry_id).model.train_cfg
    kind = training.rpn.sampler.type
    assert kind == ("RandomSampler" if entry.entry_id in SAMPLED_RPN else "PseudoSampler")
    stages = training.rcnn if isinstance(training.rcnn, list) else [training.rcnn]
    for stage in stages:
        if entry.loss_cls in ("aLRP", "PAP"):
            assert dict(stage.sampler) == dict(type="PseudoSampler")
        else:
            drawn = 512 if entry.entry_id.endswith("_lvis") and "ext_" in entry.entry_id else 10**10
            assert stage.sampler.num == drawn
            assert stage.sampler.add_gt_as_proposals is True
    # 6: "RPN training: proposals 2000 pre / 1000 post per image, NMS 0.7".
    proposal = training.rpn_proposal
    assert (proposal.nms_pre, proposal.max_per_img) == (2000, 1000)
    assert proposal.nms.iou_threshold == 0.7


@of_ids([entry for entry in SORTED if "cascade" in entry.entry_id])
def test_the_stages_of_a_cascade(entry):
    """6: "three stages IoU 0.5/0.6/0.7, stage weights 1/1/1, class-agnostic boxes"."""
    model = paper(entry.entry_id).model
    assert model.roi_head.stage_loss_weights == [1, 1, 1]
    assert len(model.roi_head.bbox_head) == len(model.train_cfg.rcnn) == 3
    for head, stage, iou in zip(
        model.roi_head.bbox_head, model.train_cfg.rcnn, (0.5, 0.6, 0.7), strict=True
    ):
        assert head.type == "RankedShared2FCBBoxHead"
        assert head.reg_class_agnostic is head.reg_decoded_bbox is True
        for name in ("pos_iou_thr", "neg_iou_thr", "min_pos_iou"):
            assert stage.assigner[name] == iou
    assert model.train_cfg.rpn.allowed_border == 0


@of_ids([entry for entry in SORTED if "_mask_" in entry.entry_id])
def test_masks_beside_ranked_boxes(entry):
    """6: 1 - Dice, 1e-5 in the denominator (DiceLoss adds eps twice), at most 200 positives."""
    model = paper(entry.entry_id).model
    loss = model.roi_head.mask_head.loss_mask
    assert dict(loss) == dict(type="DiceLoss", reduction="none", eps=5e-6)
    assert 2 * loss.eps == 1e-5
    assert model.roi_head.type == "RankSortRoIHead" and model.roi_head.mask_positives == 200
    assert model.train_cfg.rcnn.assigner.match_low_quality is True
    assert model.roi_head.align_mask_weights is False  # the official order, above 200 positives


def test_searched_functions_stand_in_the_configs_as_in_the_package():
    retina = paper("pap_pap_retinanet_r50").model.bbox_head
    frcnn = paper("pap_pap_frcnn_r50").model
    for name, head in (
        ("retina", retina),
        ("rpn", frcnn.rpn_head),
        ("roi", frcnn.roi_head.bbox_head),
    ):
        rows = [tuple(row) for row in head.loss_cls.control_points]
        assert rows == list(SEARCHED_CONTROL_POINTS[name])


@of_ids(WITH_CONFIG)
def test_no_image_is_trained_on_that_is_measured(entry):
    """Splits: training on train, validation and test on val; LVIS cuts its own from both."""
    config = paper(entry.entry_id)
    files = {}
    for split in ("train", "val", "test"):
        found = [n for n in nodes(config[f"{split}_dataloader"].dataset) if "ann_file" in n]
        assert len(found) == 1
        files[split] = found[0].ann_file, found[0].data_prefix.img, found[0].data_root
    assert files["val"] == files["test"]
    for name, one, other in zip(("file", "images"), files["train"], files["val"], strict=False):
        assert one.replace("train", "val") == other, name
        assert entry.dataset == "lvis" or "train" in one
    for evaluator in (config.val_evaluator, config.test_evaluator):
        own = [n for n in nodes(evaluator) if "ann_file" in n]
        assert [n.ann_file for n in own] == [files["val"][2] + files["val"][0]]


def _grows(entry):
    return any(step.type == "Expand" for step in entry.official.images.train)


@of_ids([entry for entry in WITH_CONFIG if _grows(entry)])
def test_images_grow_into_their_own_mean(entry):
    """1, 4: Expand fills with the mean that is subtracted, in the channels' order."""
    config = paper(entry.entry_id)
    steps = [n for n in nodes(config.train_dataloader) if n.get("type") == "Expand"]
    assert len(steps) == 1
    preprocessor = config.model.data_preprocessor
    assert list(steps[0].mean) == list(preprocessor.mean)
    # mmdet's Expand turns the mean around for images that are read as BGR and normalized as RGB.
    assert steps[0].to_rgb == preprocessor.bgr_to_rgb
    assert tuple(steps[0].ratio_range) == (1, 4)


def test_rows_that_are_copies_of_another_row_stay_copies():
    """DETECTORS 7: "same heads", on another code base; the texts name the same configs."""
    for one, other in (
        ("ext_br_rs_atss_r50", "rs_atss_r50"),
        ("ext_br_rs_paa_r50", "rs_paa_r50"),
        ("ext_br_rs_frcnn_r50", "rs_frcnn_r50"),
        ("ext_br_rs_mask_r50", "rs_mask_r50"),
        ("ext_br_rs_cascade_r50", "rs_cascade_r50"),
        ("pap_alrp_frcnn_r50", "alrp_mmdet_alrp_frcnn_r50_500"),
        ("pap_alrp_retinanet_r50", "alrp_mmdet_alrp_retinanet_r50_500"),
        ("pap_ap_l1_retinanet_r50", "alrp_mmdet_ap_retinanet_r50_500"),
    ):
        assert CATALOGUE[one].config_path != CATALOGUE[other].config_path
        assert paper(one).to_dict() == paper(other).to_dict()
