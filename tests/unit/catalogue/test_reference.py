"""Rows, settings, figures and addresses of ``configs/`` against the tables of ``reference/``.

These were collected from the sources apart from the package; `reference/README.md`.
"""

import ast
import csv
import re
from fractions import Fraction
from pathlib import Path

import pytest

from rankdet.catalogue import load_catalogue

ROOT = Path(__file__).parents[3]
REFERENCE = Path(__file__).parent / "reference"
PUBLISHED_COLUMNS = {
    "box_AP_minival": ("val", "bbox", "AP"),
    "box_oLRP_minival": ("val", "bbox", "oLRP"),
    "mask_AP_minival": ("val", "segm", "AP"),
    "mask_oLRP_minival": ("val", "segm", "oLRP"),
    "box_AP_testdev": ("test-dev", "bbox", "AP"),
}
# The reference names the four READMEs by files of its own.
READMES = {
    "000_3dbdc2850d2eecb8.txt": "README kemaloksuz/aLRPLoss-AblationExperiments",
    "001_8b8dcd1b244c4969.txt": "README kemaloksuz/aLRPLoss",
    "002_ca258059f3d85cb5.txt": "README fundamentalvision/Parameterized-AP-Loss",
    "003_aab39708d453ae4f.txt": "README kemaloksuz/RankSortLoss",
}
SOON = 'README kemaloksuz/RankSortLoss: the cell says "Coming Soon"'


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def reference(name: str) -> list[dict[str, str]]:
    return rows(REFERENCE / f"{name}.csv")


def ours(name: str) -> list[dict[str, str]]:
    return rows(ROOT / "configs" / f"{name}.csv")


CONTROLS = {row["entry_id"]: row for row in ours("experiments") if row["status"] == "control"}
ZOO = {row["config"]: row for row in reference("model_zoo")}


ENTRIES = {row["entry_id"]: row for row in reference("entries")}
CATALOGUE = load_catalogue(ROOT / "configs")
# Text of the reference -> of the package: it names the four READMEs that were at its start.
REMARKS = (" (heading stripped in the seed text)", "extension rows: ")


def test_every_row_of_the_reference_is_here():
    found = {row["entry_id"]: row for row in ours("experiments")}
    assert len(ENTRIES) == 79
    for name, row in ENTRIES.items():
        table = row["table"]
        for remark in REMARKS:
            table = table.replace(remark, "")
        mine = {key: value for key, value in found[name].items() if key in row}
        assert mine == {key: row[key] for key in mine} | {"table": table}
        assert len(mine) == 9
        boxes, masks = bool(row["loss_bbox"]), bool(row["loss_mask"])
        assert found[name]["detections"] == " ".join(["bbox"] * boxes + ["segm"] * masks)
    order = [name for name, row in found.items() if row["status"] != "control"]
    assert order == list(ENTRIES)
    assert len(ours("experiments")[0]) <= 12


# Column of the reference -> setting; their values as they are.
SAME = {
    "epochs": "schedule.epochs",
    "optimizer": "schedule.optimizer.type",
    "base_lr": "schedule.optimizer.lr",
    "momentum": "schedule.optimizer.momentum",
    "weight_decay": "schedule.optimizer.weight_decay",
    "warmup_iters": "schedule.warmup.iterations",
    "samples_per_gpu": "batch.samples_per_gpu",
    "total_batch": "batch.total",
    "workers_per_gpu": "batch.workers_per_gpu",
    "pretrained": "model.backbone.pretrained",
}
# Column -> the last names of settings, one of which has each number that the column states.
NUMBERS = {
    "train_scale": ("scale", "scales", "img_scale"),
    "test_scale": ("scale", "short_side", "longest", "pad_size_divisor"),
    "lr_steps": ("milestones", "eta_min"),
    "lr_policy": ("gamma",),
    "grad_clip": ("max_norm", "norm_type"),
    "img_mean": ("mean",),
    "img_std": ("std",),
    "box_coder_stds": ("target_stds",),
    "score_thr": ("score_thr", "top_level_score_thr"),
    "nms_iou": ("iou_threshold", "iou_thr"),
    "nms_pre": ("nms_pre",),
    "max_per_img": ("max_per_img",),
    "dcn": ("deform_groups",),
}
ASIDE = (
    *(r"DCNv\d", r"\bP\d", r"long ?<= ?1332", r"long ?<= ?833", r"factor", r"min_lr_ratio"),
    r"applied to \w+",
)
# Settings that prose names; everything of a row of the reference that reads NAME=NUMBER.
PAIRS = ("anchors", "assigner", "sampler")
RENAMED = {"base_edge": "base_edge_list", "grids": "num_grids"}
# Written of a class that takes no such setting: mmdet's sampler that takes everything.
IDLE = r"PseudoSampler\([^)]*\)"


def numbers(text):
    for pattern in ASIDE:
        text = re.sub(pattern, "", text)
    return [float(word) for word in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e-?\d+)?", text)]


def flat(value):
    if isinstance(value, list | tuple):
        return [number for each in value for number in flat(each)]
    return [float(value)] if isinstance(value, int | float) else []


def settings_of(name):
    """Return the values of all settings of a row by the last name of their paths."""
    found = {}
    for path, value in CATALOGUE[name].official.leaves.items():
        found.setdefault(path.rsplit(".", 1)[-1], []).append(value)
    return found


def has_settings(name):
    return not ENTRIES[name]["verified"].startswith('{"all_hyperparameters": "unknown')


STATED = [name for name in ENTRIES if has_settings(name)]


@pytest.mark.parametrize("name", STATED)
def test_numbers_of_the_reference_are_settings(name):
    row, official = ENTRIES[name], CATALOGUE[name].official
    for column, path in SAME.items():
        if row[column]:
            value, wanted = official.leaves[path], row[column]
            assert value == (float(wanted) if isinstance(value, int | float) else wanted), column
    own = settings_of(name)
    for column, names in NUMBERS.items():
        known = {number for each in names for number in flat(own.get(each, []))}
        assert set(numbers(row[column])) <= known, column
    share = row["warmup_ratio"]
    assert not share or official.schedule.warmup.ratio == pytest.approx(float(Fraction(share)))
    assert row["norm_eval"] != "False" or own["norm_eval"] == [False]
    if row["frozen_stages"].lstrip("-").isdigit():
        assert own["frozen_stages"] == [int(row["frozen_stages"])]
    assert official.images.bgr_to_rgb == row["to_rgb"].startswith("True")


@pytest.mark.parametrize("name", STATED)
def test_settings_that_the_reference_names(name):
    """Anchors, assigners and samplers: each ``name=value`` of their texts."""
    own = settings_of(name)
    for column in PAIRS:
        text = re.sub(IDLE, "", ENTRIES[name][column])
        for key, value in re.findall(r"(\w+)=(\[[^=]*\]|[-\w.]+)", text):
            key = RENAMED.get(key, key)
            if key == "scales" and "2^" in value:
                continue  # said by scales_per_octave
            if key == "sigma" and "pos_scale" in own:
                key = "pos_scale"  # of SOLO's cells
            try:
                wanted = ast.literal_eval(value)
            except (ValueError, SyntaxError):
                wanted = value
            assert wanted in own[key] or list(flat(wanted)) in [flat(v) for v in own[key]], key


@pytest.mark.parametrize("name", ENTRIES)
def test_where_the_settings_were_read(name):
    row, official = ENTRIES[name], CATALOGUE[name].official
    assert official.repository == row["official_repo"]
    assert official.commit == row["repo_commit"]
    file = row["official_config"]
    assert official.config == ("" if file.startswith("(") else file)
    classes = re.findall(r"\w*(?:Head|Protonet)\b", row["head_type"].replace("MaskFeatHead", ""))
    types = settings_of(name).get("type", [])
    stated = {each.removesuffix(" with ATSS") for each in types if isinstance(each, str)}
    assert set(classes) <= stated
    address = row["pretrained_url"]
    if address.startswith("https"):
        assert official.backbone.pretrained_url == address


def expected_figures():
    """Yield each published figure with its source, as the package should have it."""
    for row in reference("published"):
        kind = row["iou_type"].replace("n/a", "")
        source = READMES.get(row["source"], row["source"])
        yield row["entry_id"], row["split"], kind, row["metric"], row["value"], source
    for row in reference("entries"):
        for column, (_, kind, metric) in PUBLISHED_COLUMNS.items():
            if row[column] == "Coming Soon":
                yield row["entry_id"], "lvis_v1_val", kind, metric, "", SOON
    for entry_id in CONTROLS:
        zoo = ZOO[CATALOGUE[entry_id].official.config]
        source = f"metafile of open-mmlab/mmdetection v3.3.0, {zoo['name']}"
        for kind, value in (("bbox", zoo["box_ap"]), ("segm", zoo["mask_ap"])):
            if value:
                yield entry_id, "coco_val2017", kind, "AP", value, source


def test_published_is_the_reference_and_nothing_else():
    found = [tuple(row.values()) for row in ours("published")]
    assert sorted(found) == sorted(expected_figures())


def test_published_holds_what_the_facts_stated():
    """The two tables of the reference were read apart from each other, too."""
    figures = {}
    for row in ours("published"):
        if not row["source"].startswith(("third party", "issue ")):
            split = "test-dev" if "test-dev" in row["split"] else "val"
            figures[row["entry_id"], split, row["iou_type"], row["metric"]] = row["value"]
    for row in reference("entries"):
        stated = {
            (row["entry_id"], *key): row[column].replace("Coming Soon", "")
            for column, key in PUBLISHED_COLUMNS.items()
            if row[column]
        }
        assert {key: value for key, value in figures.items() if key in stated} == stated


ABLATION = "kemaloksuz/aLRPLoss-AblationExperiments"


def expected_models():
    """Yield the published models, as the package should have them."""
    for row in reference("checkpoints"):
        repository = row["repository"].replace(
            "seed 000", "kemaloksuz/aLRPLoss-AblationExperiments"
        )
        note = "" if row["model_url"] else "its README names the row without a link to a model"
        yield row["entry_id"], repository, row["model_url"], row["log_url"], "", "", note
    for entry_id in CONTROLS:
        url = ZOO[CATALOGUE[entry_id].official.config]["checkpoint"]
        digits = url.removesuffix(".pth").rsplit("-", 1)[1]
        note = "from the metafiles of mmdet 3.3.0"
        yield entry_id, "open-mmlab/mmdetection", url, "", "", digits, note


def test_checkpoints_are_the_reference_and_nothing_else():
    found = [tuple(row.values()) for row in ours("checkpoints")]
    assert sorted(found) == sorted(expected_models())


# What the reference says in words or not at all: by which name a config calls the file; which files
# are taken out of an archive and how many they are (COCO's and Cityscapes' own counts); a second
# address from a note.
CITYSCAPES = dict(
    kind="data", urls="", size_bytes="", sha256="", md5="", count="3475", checkpoint=""
)
ADDED = {
    "resnet34-333f7ec4.pth": dict(checkpoint="torchvision://resnet34"),
    "resnet50-19c8e357.pth": dict(checkpoint="torchvision://resnet50"),
    "resnet101-5d3b4d8f.pth": dict(checkpoint="torchvision://resnet101"),
    "resnext101_64x4d-ee2c6f71.pth": dict(checkpoint="open-mmlab://resnext101_64x4d"),
    "resnext101_32x8d-8ba56ff5.pth": dict(checkpoint="models/resnext101_32x8d-8ba56ff5.pth"),
    "resnet50-pytorch.pth": dict(checkpoint="models/resnet50-pytorch.pth"),
    "resnet101-pytorch.pth": dict(checkpoint="models/resnet101-pytorch.pth"),
    "swin_tiny_patch4_window7_224.pth": dict(
        kind="backbone", checkpoint="models/swin_tiny_patch4_window7_224.pth"
    ),
    "swin_large_patch4_window12_384_22k.pth": dict(
        kind="backbone", checkpoint="models/swin_large_patch4_window12_384_22k.pth"
    ),
    "mask_rcnn_r50_fpn_1x_coco_20200205-d4b0c5d6.pth": dict(
        kind="model",
        urls=ZOO["configs/mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"]["checkpoint"],
        sha256="d4b0c5d6",
    ),
    "train2017.zip": dict(members="train2017/*.jpg", count="118287"),
    "val2017.zip": dict(members="val2017/*.jpg", count="5000"),
    "test2017.zip": dict(members="test2017/*.jpg", count="40670"),
    "annotations_trainval2017.zip": dict(
        members="annotations/instances_train2017.json annotations/instances_val2017.json", count="2"
    ),
    "image_info_test2017.zip": dict(
        members="annotations/image_info_test2017.json annotations/image_info_test-dev2017.json",
        count="2",
    ),
    "lvis_v1_train.json.zip": dict(members="lvis_v1_train.json", count="1"),
    "lvis_v1_val.json.zip": dict(members="lvis_v1_val.json", count="1"),
    "leftImg8bit_trainvaltest.zip": dict(
        CITYSCAPES, members="leftImg8bit/train/*.png leftImg8bit/val/*.png"
    ),
    "gtFine_trainvaltest.zip": dict(
        CITYSCAPES, members="gtFine/train/*_instanceIds.png gtFine/val/*_instanceIds.png"
    ),
}
# Weights that no row starts from.
NOT_FETCHED = {"resnext101_32x8d-1516f1aa.pth"}
COMPARED = ("kind", "checkpoint", "urls", "size_bytes", "sha256", "md5", "members", "count")


def secure(url):
    """Return the address to try first for one without encryption: the same bucket over https."""
    host = "http://images.cocodataset.org/"
    return [url.replace("http://", "https://s3.amazonaws.com/")] if url.startswith(host) else []


def expected_downloads():
    """Return by file what the package should know about it."""
    expected = {name: dict.fromkeys(COMPARED, "") for name in ADDED}
    for row in reference("downloads"):
        if ";" in row["file"] or row["file"] in NOT_FETCHED:
            continue
        known = expected.setdefault(row["file"], dict.fromkeys(COMPARED, ""))
        known |= {key: row[key] for key in ("kind", "size_bytes", "md5")}
        also = [word for word in row["note"].replace(";", " ").split() if word.startswith("https")]
        urls = [*secure(row["url"]), row["url"], *also]
        known |= {"urls": " ".join(urls), "sha256": row["sha256"].split(" ")[0]}
    return {name: known | ADDED.get(name, {}) for name, known in expected.items()}


def test_downloads_are_the_reference_and_nothing_else():
    found = {row["file"]: {key: row[key] for key in COMPARED} for row in ours("downloads")}
    assert found == expected_downloads()


def test_who_starts_from_a_whole_model():
    starts = {row["name"]: row["used_by"] for row in ours("downloads") if row["kind"] == "model"}
    assert starts == {"mask_rcnn_r50_coco": "ext_br_rs_mask_r50_city ext_br_brs_mask_r50_city"}


# Of a control row, what no config holds; the rest is compared with mmdet's own (tests/parity).
@pytest.mark.parametrize("entry_id", CONTROLS)
def test_controls_are_rows_of_the_model_zoo(entry_id):
    row = CONTROLS[entry_id]
    zoo = ZOO[CATALOGUE[entry_id].official.config]
    official = CATALOGUE[entry_id].official
    assert str(official.epochs) == zoo["epochs"] == "12"
    assert row["row_label"] == f"{row['detector']} ResNet-50 / 12"
    assert (row["family"], row["table_slug"]) == ("control", "control")
    assert official.repository == "open-mmlab/mmdetection" and official.commit == "v3.3.0"
    # What torchvision's hub gives mmdet 3.3 under the name torchvision://resnet50.
    assert official.backbone.pretrained_url.endswith("/resnet50-0676ba61.pth")
    assert (official.batch.gpus, official.total_batch, official.pool_images) == (8, 16, 2)
    assert zoo["name"].split("_")[0].replace("-", "") in row["detector"].lower().replace(
        " ", ""
    ).replace("-", "")
