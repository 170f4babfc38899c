"""The one-stage rows with masks: what their pipelines give, what their detections hold."""

import json

import pytest
import torch
from mmdet.registry import DATASETS
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope

from rankdet.catalogue import load_catalogue
from rankdet.catalogue.presets import Preset, get_preset
from rankdet.datasets.coco import prepare_coco
from rankdet.datasets.digits import prepare_digits
from rankdet.evaluation import evaluate
from rankdet.models.build import load_config
from rankdet.training.predict import predict
from rankdet.training.resolve import resolve
from rankdet.training.run import train

ROWS = ("rs_yolact_r50", "rs_solov2_r34_light", "rs_solov2_r101")
TINY = Preset(
    "demo", "for this test", "digits", 2, 2, 64, True, 1e-3, score_threshold=1e-3, workers=0
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Four images: with a crowd beside objects, with a crowd only, with nothing, with objects."""
    folder = tmp_path_factory.mktemp("data") / "digits"
    prepare_digits(folder, 0, 4, 2)
    path = folder / "annotations" / "train.json"
    content = json.loads(path.read_text())
    height, width = content["images"][0]["height"], content["images"][0]["width"]
    rows = [row for row in content["annotations"] if row["image_id"] in (1, 4)]
    # Column by column: the upper half of each of the first 20 columns.
    counts = [0] + [height // 2] * 40 + [height * (width - 20)]
    for image in (1, 2):
        rows.append(
            dict(
                id=1000 + image,
                image_id=image,
                category_id=1,
                bbox=[0, 0, 20, height // 2],
                area=20 * height // 2,
                iscrowd=1,
                segmentation={"counts": counts, "size": [height, width]},
            )
        )
    content["annotations"] = rows
    path.write_text(json.dumps(content))
    return prepare_coco(folder, folder / "dataset.json", "digits")


def samples(entry, preset, digits):
    """Return the row's resolved config and its training samples by image id."""
    config = resolve(entry, get_preset(preset), digits)
    found = {}
    with DefaultScope.overwrite_default_scope("mmdet"):
        dataset = DATASETS.build(config.train_dataloader.dataset)
        for index in range(len(dataset)):
            sample = dataset[index]
            found[sample["data_samples"].img_id] = sample
    return config, found


@pytest.mark.parametrize("preset", ["paper", "smoke"])
@pytest.mark.parametrize("entry", ROWS)
def test_crowds_are_no_objects_and_masks_fit_their_image(entry, preset, digits):
    torch.manual_seed(0)
    _, found = samples(entry, preset, digits)
    assert 3 not in found  # images without annotations are left out, as in the official runs
    crowded, only_crowd = found[1]["data_samples"], found[2]["data_samples"]
    assert len(only_crowd.gt_instances) == 0 and len(only_crowd.gt_instances.masks) == 0
    if preset == "smoke":
        assert len(crowded.gt_instances) > 0 and len(crowded.ignored_instances) == 1
    for sample in found.values():
        truth = sample["data_samples"].gt_instances
        assert len(truth.masks) == len(truth.bboxes) == len(truth.labels)
        assert tuple(sample["inputs"].shape[1:]) == (truth.masks.height, truth.masks.width)


@pytest.mark.parametrize("entry", ROWS[:2])
def test_a_batch_with_and_without_objects_trains(entry, digits):
    from mmdet.registry import MODELS

    config = resolve(entry, TINY, digits)
    with DefaultScope.overwrite_default_scope("mmdet"):
        dataset = DATASETS.build(config.train_dataloader.dataset)
        model = MODELS.build(config.model).train()
        by_image = {}
        for index in range(len(dataset)):
            by_image[dataset[index]["data_samples"].img_id] = dataset[index]
        for images in ((1, 2), (2, 2)):
            batch = pseudo_collate([by_image[image] for image in images])
            data = model.data_preprocessor(batch, training=True)
            losses = model(**data, mode="loss")
            sum(losses.values()).backward()
            for name, value in losses.items():
                assert value.isfinite() and (value > 0) == (1 in images), name
            untouched = [n for n, p in model.named_parameters() if p.grad is None]
            assert not untouched  # every parameter is in the graph, so that ranks stay in step
            model.zero_grad()


@pytest.mark.parametrize("entry", ROWS[:2])
def test_train_predict_and_evaluate(entry, digits, tmp_path):
    kinds = load_catalogue()[entry].iou_types
    out, detections = tmp_path / "c.pth", tmp_path / "d.json"
    train(entry, TINY, digits, tmp_path / "w", out)
    predict(entry, TINY, digits, out, detections, tmp_path / "p")
    rows = json.loads(detections.read_text())
    assert rows and all(("bbox" in row) == ("bbox" in kinds) for row in rows)
    assert all(row["segmentation"]["size"] == [256, 256] for row in rows)
    for kind in kinds:
        numbers = evaluate(digits.annotations("val"), detections, kind).numbers
        assert 0 <= numbers["AP"] <= 1


def test_what_the_detections_are_measured_by(digits):
    catalogue = load_catalogue()
    for entry in (*ROWS, "rs_atss_r50", "rs_mask_r50"):
        config = resolve(entry, get_preset("smoke"), digits)
        assert tuple(config.val_evaluator.iou_types) == catalogue[entry].iou_types
    assert catalogue["rs_solov2_r101"].iou_types == ("segm",)
    assert catalogue["rs_yolact_r50"].iou_types == ("bbox", "segm")


def test_grids_fit_their_feature_maps_and_objects_keep_their_level(digits):
    own = load_config("rs_solov2_r101").model.mask_head
    demo = resolve("rs_solov2_r101", get_preset("demo"), digits).model.mask_head
    assert own.num_grids == [40, 36, 24, 16, 12] and demo.num_grids == [16, 16, 8, 4, 4]
    assert own.scale_ranges == demo.scale_ranges


def test_a_lower_threshold_of_solov2_comes_with_a_limit(digits):
    paper = resolve("rs_solov2_r34_light", get_preset("paper"), digits).model.test_cfg
    demo = resolve("rs_solov2_r34_light", get_preset("demo"), digits).model.test_cfg
    assert (paper.score_thr, paper.filter_thr) == (0.2, 0.05) and "max_candidates" not in paper
    assert demo.score_thr == demo.filter_thr == get_preset("demo").score_threshold
    assert demo.max_candidates > demo.nms_pre == paper.nms_pre


def test_yolact_is_narrow_in_the_demo_and_keeps_its_prototypes(digits):
    demo = resolve("rs_yolact_r50", get_preset("demo"), digits).model.mask_head
    assert demo.proto_channels == [64, 64, 64, None, 64, 32] and demo.num_protos == 32
