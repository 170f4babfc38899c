"""The official weights of a case: filled by the recipe, then converted as a user converts them."""

from __future__ import annotations

from pathlib import Path

import torch

from rankdet.models.build import build_model
from rankdet.weights.convert import OWN_STATE, RENAMING, WRAPPER, convert, official_name
from tests.golden.end_to_end.cases import Case, as_state, recipe


def official_shapes(case: Case) -> dict[str, list[int]]:
    """Return the official tensors: recorded, or those that our model needs to be given."""
    if not case.lacks("tensors.json"):
        return case.json("tensors.json")
    model = build_model(case.entry_id)
    renaming = RENAMING.get(type(model).__name__, ())
    wrapped = any(name.startswith(WRAPPER) for name in case.extra)
    shapes = {}
    for name, value in model.state_dict().items():
        if OWN_STATE not in name:
            official = official_name(name, renaming)
            shapes[official if wrapped else official.removeprefix(WRAPPER)] = list(value.shape)
    return shapes


def official_checkpoint(case: Case, out: Path) -> Path:
    """Write the official model as its authors would have saved it."""
    state, extra = as_state(official_shapes(case)), case.extra
    unknown = {name.removesuffix("@scale") for name in extra} - state.keys()
    if unknown:
        raise ValueError(f"weights_extra.npz has tensors without a place: {sorted(unknown)[:3]}")
    recipe(case.folder.parent).fill(state, extra)
    torch.save({"state_dict": state, "meta": {}}, out)
    return out


def converted(case: Case, folder: Path) -> Path:
    """Return our checkpoint of the official model, made by `rankdet convert`'s own function."""
    out = folder / f"{case.name}.pth"
    if not out.exists():
        source = official_checkpoint(case, folder / f"{case.name}.official.pth")
        convert(case.entry_id, source, out)
        source.unlink()
    return out
