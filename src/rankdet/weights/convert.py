"""Convert official models: rename the tensors and check them against our model.

RS-SOLOv2 was trained with mmdetection 1.0, where SOLOv2 was two heads with names of its own;
FoveaBox's last layers were renamed in mmdetection 2.1. All other tensors, those of RS-YOLACT
included, have the official names. aLRP's self-balance is in the state dict here only.

The AP-Loss code base is no mmdetection: its RetinaNet has names of its own, and was saved through
DataParallel, hence ``module.`` in front of everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch

from rankdet import provenance
from rankdet.datasets.manifest import Manifest
from rankdet.errors import InputError
from rankdet.hashing import file_sha256
from rankdet.models.build import build_model
from rankdet.outputs import write_json
from rankdet.weights.checkpoint_files import load_tensors, write_weights

# (start of a name here, start of the official name); the first that fits is taken.
SOLOV2 = (
    ("mask_head.mask_feature_head.conv_pred.", "mask_feat_head.conv_pred.0."),
    ("mask_head.mask_feature_head.", "mask_feat_head."),
    ("mask_head.cls_convs.", "bbox_head.cate_convs."),
    ("mask_head.kernel_convs.", "bbox_head.kernel_convs."),
    ("mask_head.conv_cls.", "bbox_head.solo_cate."),
    ("mask_head.conv_kernel.", "bbox_head.solo_kernel."),
)
FOVEABOX = (
    ("bbox_head.conv_cls.", "bbox_head.fovea_cls."),
    ("bbox_head.conv_reg.", "bbox_head.fovea_reg."),
)
_FPN = ("P3", "P4", "P5")
_TOWERS = (("cls", "classificationModel"), ("reg", "regressionModel"))
AP_CODE = (
    ("backbone.", "module."),
    *((f"neck.lateral_convs.{i}.conv.", f"module.fpn.{p}_1.") for i, p in enumerate(_FPN)),
    *((f"neck.fpn_convs.{i}.conv.", f"module.fpn.{p}_2.") for i, p in enumerate(_FPN)),
    ("neck.fpn_convs.3.conv.", "module.fpn.P6."),
    ("neck.fpn_convs.4.conv.", "module.fpn.P7_2."),
    *(
        (f"bbox_head.{ours}_convs.{i}.conv.", f"module.{official}.conv{i + 1}.")
        for ours, official in _TOWERS
        for i in range(4)
    ),
    *((f"bbox_head.retina_{ours}.", f"module.{official}.output.") for ours, official in _TOWERS),
)

# Type of the detector -> renaming.
RENAMING = {"FOVEA": FOVEABOX, "SOLOv2": SOLOV2, "PixelRetinaNet": AP_CODE}

# Tensors that no official model has.
OWN_STATE = ".self_balance."


def official_name(name: str, renaming: Sequence[tuple[str, str]] = SOLOV2) -> str:
    """Return the official name of a tensor of our model."""
    for ours, official in renaming:
        if name.startswith(ours):
            return official + name.removeprefix(ours)
    return name


# Of torch.nn.DataParallel: the AP-Loss code base saved its models inside one.
WRAPPER = "module."
SHOWN = 3  # names in a message


def convert(entry_id: str, source: Path, out: Path, data: Manifest | None = None) -> dict:
    """Write the official model of an entry as a checkpoint of ours, and ``run.json`` beside it.

    Args:
        entry_id: an id of the catalogue.
        source: the official file (mmdetection 1 or 2, or the AP-Loss code base).
        out: the checkpoint, as `rankdet predict` reads it.
        data: the data set it will be evaluated on; its name is recorded with the result.

    Returns:
        The content of ``run.json``.

    Raises:
        InputError: if reading the file would run code, or it is of another model.
    """
    state = read_official(entry_id, source)
    sha256 = file_sha256(source)
    record = {
        "entry": entry_id,
        "preset": "published",
        "weights": {"file": source.name, "sha256": sha256, "tensors": len(state)},
        "machine": provenance.machine(),
        "versions": provenance.versions(),
        "git": provenance.code_state(),
    }
    if data is not None:
        own = data.identity().items()
        record["data"] = {key: value for key, value in own if not key.startswith("train_")}
    write_weights(state, out, {"entry": entry_id, "preset": "published", "source_sha256": sha256})
    write_json(out.parent / "run.json", record)
    return record


def read_official(entry_id: str, source: Path) -> dict[str, torch.Tensor]:
    """Return the official tensors under our names: none missing, none left over, same shapes.

    Raises:
        InputError: naming the file and the first tensors that do not match.
    """
    official = _unwrapped(load_tensors(source))
    model = build_model(entry_id)
    renaming = RENAMING.get(type(model).__name__, ())
    state, missing = {}, []
    for name, ours in model.state_dict().items():
        if OWN_STATE in name:
            continue
        theirs = official.pop(official_name(name, renaming).removeprefix(WRAPPER), None)
        if theirs is None:
            missing.append(official_name(name, renaming))
        else:
            state[name] = _fitting(source, name, theirs, ours)
    tensors = {"missing": missing, "unexpected": official}
    found = [f"{what} {_some(names)}" for what, names in tensors.items() if names]
    if found:
        raise InputError(
            f"the official model of {entry_id}",
            f"{source}: {' and '.join(found)}",
            "check that the file belongs to this row",
        )
    state |= _own_state(model)
    # A strict check without a second copy of the weights: the model has no memory of its own.
    model.load_state_dict(state, strict=True, assign=True)
    return state


def _unwrapped(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(WRAPPER): value for name, value in state.items()}


def _fitting(source: Path, name: str, theirs: torch.Tensor, ours: torch.Tensor) -> torch.Tensor:
    if theirs.shape != ours.shape:
        raise InputError(
            f"{name} of shape {tuple(ours.shape)}",
            f"{tuple(theirs.shape)} in {source}",
            "check that the file belongs to this row, and its number of classes",
        )
    return theirs.to(ours.dtype)


def _own_state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the state that only our models have; prediction does not use it."""
    return {
        f"{place}.{name}": value
        for place, module in model.named_modules()
        if f".{place}.".endswith(OWN_STATE)
        for name, value in module.fresh().state_dict().items()
    }


def _some(names: Iterable[str]) -> str:
    names = list(names)
    if not names:
        return "nothing"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
