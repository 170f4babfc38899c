"""Every built row has the tensors of the official model: none missing, none extra, same shapes."""

import csv
import gzip
import os
import re
from pathlib import Path

import pytest

from rankdet.models.build import build_model
from rankdet.weights.convert import OWN_STATE, RENAMING, official_name
from tests.parity.rows import WITH_CONFIG, by_id, paper


def folder() -> Path:
    """Where the lists are: $RANKDET_GOLDEN, the committed copy, or beside the checkout."""
    here = Path(__file__).parents[1] / "golden/data/state_dicts"
    if os.environ.get("RANKDET_GOLDEN"):
        return Path(os.environ["RANKDET_GOLDEN"]) / "state_dicts"
    return here if here.is_dir() else Path(__file__).parents[3] / "shared/golden/state_dicts"


# Stock models of mmdet 3.3: no official model was recorded, and none is rebuilt here.
STOCK = ("control_", "ext_br_codetr")
CITYSCAPES = ("ext_br_rs_mask_r50_city", "ext_br_brs_mask_r50_city")


def recorded(entry_id: str) -> Path | None:
    """Return the list of a row's official model.

    The bucketed losses were published on the models of Rank & Sort, and a size of the training
    images changes no tensor; nor does AP Loss in place of aLRP Loss in the AP-Loss code base.
    """
    same = re.sub(r"^ext_br_(ap|bap|rs|brs)_", "rs_", entry_id)
    same = same.replace("rs_frcnn_r101_3x", "rs_frcnn_r101_dcn_3x")  # deformable, says its config
    aploss = {"aploss_ap_r101": "alrp_ap_r101", "ext_ap_r50": "ext_alrp_ap_r50"}
    unsized = re.sub(r"_(500|800)$", "", entry_id)
    names = (entry_id, same, unsized, aploss.get(unsized, unsized))
    paths = (folder() / f"{name}.csv.gz" for name in names)
    return next((path for path in paths if path.exists()), None)


def shapes(path: Path) -> dict[str, str]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        return {row["name"]: row["shape"] for row in csv.DictReader(stream)}


COMPARED = [entry for entry in WITH_CONFIG if recorded(entry.entry_id)]


def test_what_is_not_compared():
    rest = {entry.entry_id for entry in WITH_CONFIG} - {entry.entry_id for entry in COMPARED}
    assert not [name for name in rest if not name.startswith((*STOCK, *CITYSCAPES))]


@pytest.mark.parametrize("entry_id", CITYSCAPES)
def test_cityscapes_rows_have_the_tensors_of_the_coco_row(entry_id):
    """Their official config cannot be resolved; only the classes can differ, 8 for 80."""
    ours = {
        name: tuple(tensor.shape)
        for name, tensor in build_model(entry_id).state_dict().items()
        if OWN_STATE not in name
    }
    theirs = shapes(folder() / "rs_mask_r50.csv.gz")
    assert set(ours) == set(theirs)
    other = {name for name, size in ours.items() if "x".join(map(str, size)) != theirs[name]}
    assert {name.rsplit(".", 1)[0] for name in other} == {
        *("roi_head.bbox_head.fc_cls", "roi_head.bbox_head.fc_reg"),
        "roi_head.mask_head.conv_logits",
    }


@pytest.mark.parametrize("entry", COMPARED, ids=by_id)
def test_tensors(entry):
    renaming = RENAMING.get(paper(entry.entry_id).model.type, ())
    ours = {
        official_name(name, renaming): "x".join(map(str, tensor.shape))
        for name, tensor in build_model(entry.entry_id).state_dict().items()
        if OWN_STATE not in name
    }
    theirs = shapes(recorded(entry.entry_id))
    assert set(ours) == set(theirs)
    assert ours == theirs
