"""Read and check the ``found.json`` of a search."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from rankdet.errors import InputError
from rankdet.report.result_files import read_object

Number = Annotated[float, Field(allow_inf_nan=False, strict=True)]
Count = Annotated[int, Field(ge=0, le=10**9, strict=True)]
# x0, y0, x1, y1, ... of one function.
Points = Annotated[list[Number], Field(min_length=12, max_length=12)]


class _Head(BaseModel):
    control_points: Annotated[list[Points], Field(min_length=1, max_length=5)]
    box_gradient_scale: Number


class _Plan(BaseModel):
    name: str
    entry: str
    preset: str
    data: str
    rounds: Count
    samples: Count
    seed: Count
    apply_gradient_scale: bool


class _Best(BaseModel):
    round: Count
    sample: Count
    reward: Number
    heads: dict[str, _Head]


class _Mean(BaseModel):
    heads: dict[str, _Head]


class _Round(BaseModel):
    rewards: Annotated[list[Number], Field(min_length=1)]
    failed: Count


class _Found(BaseModel):
    plan: _Plan
    used: Literal["best", "mean"]
    best: _Best
    mean: _Mean
    start: Annotated[dict[str, _Head], Field(min_length=1)]
    published: dict[str, _Head]
    rounds: Annotated[list[_Round], Field(min_length=1)]

    @model_validator(mode="after")
    def _same_heads(self) -> _Found:
        for heads in (self.best.heads, self.mean.heads, self.published):
            if heads.keys() != self.start.keys():
                raise ValueError("different heads in start, best, mean and published")
        return self


def read_found(path: Path) -> dict[str, Any]:
    """Return the content of a ``found.json``.

    Raises:
        InputError: naming the first invalid value.
    """
    expected, todo = f"the found.json of a search in {path}", "run `rankdet search finish` again"
    content = read_object(path, "the found.json of a search", todo)
    try:
        _Found.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the document"
        raise InputError(expected, f"{place}: {first['msg']}", todo) from None
    return content
