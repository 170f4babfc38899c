"""Studies: methods, sets and seeds of configs/studies.yaml, as entries and presets.

A study trains every method on every set. A method is an entry of the catalogue that stands in no
table, a set is a preset named ``<study>-<set>``, so that its trainings are ordinary rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rankdet.catalogue.preset_table import PRESETS, Preset
from rankdet.errors import InputError, nearest
from rankdet.paths import configs_dir

FILE = "studies.yaml"
SetName = Annotated[str, Field(pattern=r"^[a-z0-9]+$")]
StudyName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*$")]
MethodName = Annotated[str, Field(pattern=r"^study_[a-z0-9_]+$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StudySet(_Strict):
    """A data set of a study: options of `rankdet prepare digits`."""

    imbalance: Annotated[float, Field(ge=1)]
    objects: Literal["few", "some", "many"] = "some"


class Method(_Strict):
    """A detector with a loss: its config is ``configs/study/<name>.py``."""

    detector: Annotated[str, Field(min_length=1)]
    loss: Annotated[str, Field(min_length=1)]
    label: Annotated[str, Field(min_length=1)]


class Study(_Strict):
    """One study; see configs/studies.yaml."""

    title: str
    iterations: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    side: Annotated[int, Field(ge=32)]
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=2)]
    learning_rates: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]
    chosen_on: SetName
    sets: Annotated[dict[SetName, StudySet], Field(min_length=1)]
    train_images: Annotated[int, Field(ge=1)]
    val_images: Annotated[int, Field(ge=2)]
    methods: Annotated[dict[MethodName, Method], Field(min_length=1)]

    @model_validator(mode="after")
    def _known_set(self) -> Study:
        if self.chosen_on not in self.sets:
            raise ValueError(f"chosen_on as one of the sets: {', '.join(self.sets)}")
        return self


TUNING = "tune"  # the val split that the learning rates are chosen on


@cache
def load_studies(folder: Path | None = None) -> Mapping[str, Study]:
    """Return the studies by name; none without the file.

    Raises:
        InputError: with file, place and value of the first mistake.
    """
    path = (folder or configs_dir()) / FILE
    if not path.is_file():
        return {}
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        if not isinstance(document, dict):
            raise ValueError("no mapping")
    except (OSError, ValueError, yaml.YAMLError) as error:
        line = " ".join(str(error).split())
        raise InputError(f"{path} with studies by name", line, "correct the file") from None
    return {str(name): _study(path, str(name), content) for name, content in document.items()}


def _study(path: Path, name: str, content: Any) -> Study:
    class Named(_Strict):
        name: StudyName
        study: Study

    try:
        return Named(name=name, study=content).study
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part != "study")
        got = repr(first["input"])
        got = got if len(got) <= 80 else f"{got[:77]}..."
        message = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        raise InputError(f"{path}, {name}.{place}: {message}", got, "correct that value") from None


def study_of(name: str) -> Study:
    """Return a study.

    Raises:
        InputError: if there is none of this name.
    """
    studies = load_studies()
    if name not in studies:
        raise InputError("a study of configs/studies.yaml", repr(name), nearest(name, studies))
    return studies[name]


def part_name(study: str, set_name: str) -> str:
    """Return the preset of a set."""
    return f"{study}-{set_name}"


def rate_name(study: str, rate: float) -> str:
    """Return the preset of a learning rate that is tried."""
    return f"{study}-rate-{rate:g}"


@cache
def study_presets() -> Mapping[str, Preset]:
    """Return the presets of all studies by name."""
    return {
        preset.name: preset
        for name, study in load_studies().items()
        for preset in _presets(name, study)
    }


def _presets(name: str, study: Study) -> list[Preset]:
    base = replace(
        PRESETS["demo"],
        iterations=study.iterations,
        batch_size=study.batch_size,
        side=study.side,
        learning_rate=None,
        validations=0,
        own_data={},
        entries=tuple(study.methods),
        more_entries=(),
        not_comparable="a study on digits",
    )
    parts = [
        replace(
            base,
            name=part_name(name, each),
            purpose=f"study {name}, set {each}",
            caption=f"Study {name}, set {each}: the digits set and small networks; not a paper's.",
            data=part_name(name, each),
            seeds=study.seeds,
        )
        for each in study.sets
    ]
    rates = [
        replace(
            base,
            name=rate_name(name, rate),
            purpose=f"study {name}: learning rate {rate:g}",
            caption=f"Study {name}: learning rate {rate:g} tried on another val split.",
            data=f"{part_name(name, study.chosen_on)}-{TUNING}",
            learning_rate=rate,
            seeds=study.seeds[:1],
        )
        for rate in study.learning_rates
    ]
    return parts + rates


def study_data() -> dict[str, dict[str, Any]]:
    """Return the arguments of ``prepare_digits`` for each prepared set of all studies."""
    found = {}
    for name, study in load_studies().items():
        for each, own in study.sets.items():
            options = own.model_dump() | {
                "train_images": study.train_images,
                "val_images": study.val_images,
            }
            found[part_name(name, each)] = options
            if each == study.chosen_on:
                found[f"{part_name(name, each)}-{TUNING}"] = options | {"val_seed": 1}
    return found
