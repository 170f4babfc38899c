"""Facts, figures and addresses of ``configs/`` against the tables of ``reference/``, cell by cell.

These were collected from the sources apart from the package; `reference/README.md`.
"""

import csv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
REFERENCE = Path(__file__).parent / "reference"
PUBLISHED_COLUMNS = {
    "box_AP_minival": ("val", "bbox", "AP"),
    "box_oLRP_minival": ("val", "bbox", "oLRP"),
    "mask_AP_minival": ("val", "segm", "AP"),
    "mask_oLRP_minival": ("val", "segm", "oLRP"),
    "box_AP_testdev": ("test-dev", "bbox", "AP"),
}
# The reference names the four texts by their file, the package says whose READMEs they are.
READMES = {
    "000_3dbdc2850d2eecb8.txt": "README kemaloksuz/aLRPLoss-AblationExperiments (text 000)",
    "001_8b8dcd1b244c4969.txt": "README kemaloksuz/aLRPLoss (text 001)",
    "002_ca258059f3d85cb5.txt": "README fundamentalvision/Parameterized-AP-Loss (text 002)",
    "003_aab39708d453ae4f.txt": "README kemaloksuz/RankSortLoss (text 003)",
}
SOON = 'README kemaloksuz/RankSortLoss (text 003): the cell says "Coming Soon"'


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def reference(name: str) -> list[dict[str, str]]:
    return rows(REFERENCE / f"{name}.csv")


def ours(name: str) -> list[dict[str, str]]:
    return rows(ROOT / "configs" / f"{name}.csv")


CONTROLS = {row["entry_id"]: row for row in ours("experiments") if row["status"] == "control"}
ZOO = {row["config"]: row for row in reference("model_zoo")}


def test_every_fact_of_the_reference_is_here():
    expected = reference("entries")
    found = {row["entry_id"]: row for row in ours("experiments")}
    assert len(expected) == 79
    for row in expected:
        facts = {key: value for key, value in row.items() if key not in PUBLISHED_COLUMNS}
        mine = {
            k: v for k, v in found[row["entry_id"]].items() if k not in ("family", "table_slug")
        }
        assert mine == facts
    order = [name for name, row in found.items() if row["status"] != "control"]
    assert order == [row["entry_id"] for row in expected]


def test_no_published_figure_stands_in_the_facts():
    assert not set(PUBLISHED_COLUMNS) & set(ours("experiments")[0])


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
    for entry_id, row in CONTROLS.items():
        zoo = ZOO[row["official_config"]]
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
    for entry_id, row in CONTROLS.items():
        url = ZOO[row["official_config"]]["checkpoint"]
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
    zoo = ZOO[row["official_config"]]
    assert row["epochs"] == zoo["epochs"] == "12"
    assert row["row_label"] == f"{row['detector']} ResNet-50 / 12"
    assert (row["family"], row["table_slug"], row["seed"]) == ("control", "control", "")
    assert row["official_repo"] == "open-mmlab/mmdetection" and row["repo_commit"] == "v3.3.0"
    # What torchvision's hub gives mmdet 3.3 under the name torchvision://resnet50.
    assert row["pretrained_url"].endswith("/resnet50-0676ba61.pth")
    assert row["gpus_official"] == "8 (auto_scale_lr base batch 16 at 2 images per GPU)"
    assert zoo["name"].split("_")[0].replace("-", "") in row["detector"].lower().replace(
        " ", ""
    ).replace("-", "")
