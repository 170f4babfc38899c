"""The result of a search: its found.json, its table and its figure."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from pydantic import BaseModel, Field, ValidationError, model_validator

from rankdet.errors import InputError
from rankdet.outputs import write_text
from rankdet.report.canvas import SOFT, headline, styled
from rankdet.report.formats import environment
from rankdet.report.names import printable, spreadsheet
from rankdet.report.results import read_object

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
    expected, fix = f"the found.json of a search in {path}", "run `rankdet search finish` again"
    content = read_object(path, "the found.json of a search", fix)
    try:
        _Found.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the document"
        raise InputError(expected, f"{place}: {first['msg']}", fix) from None
    return content


FUNCTIONS = ("H2", "I2", "I3", "I1", "H1")
SOURCES = {
    "start": "initial",
    "best": "best sample",
    "mean": "final mean",
    "published": "published",
}
HEADER = ("head", "function", "source", "point 1", "point 2", "point 3", "point 4")


def heads_by_source(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the heads of each source of `SOURCES` from the content of ``found.json``."""
    return {
        source: found[source]["heads"] if source in ("best", "mean") else found[source]
        for source in SOURCES
    }


def table_rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return a row for each head, function and source; the gradient scales come last."""
    sources = heads_by_source(found)
    rows = []
    for head in found["start"]:
        for place, function in enumerate(FUNCTIONS):
            for source, name in SOURCES.items():
                points = sources[source][head]["control_points"]
                if place < len(points):
                    row = points[place][2:-2]
                    pairs = zip(row[::2], row[1::2], strict=True)
                    cells = (f"({x:.3f}, {y:.3f})" for x, y in pairs)
                    rows.append((head, function, name, *cells))
        for source, name in SOURCES.items():
            scale = f"{sources[source][head]['box_gradient_scale']:.3f}"
            rows.append((head, "gradient scale", name, scale, "", "", ""))
    return rows


def note(found: dict[str, Any]) -> str:
    """Return a summary of the search."""
    plan, best = found["plan"], found["best"]
    used = "the best sample" if found["used"] == "best" else "the final mean"
    failed = sum(turn["failed"] for turn in found["rounds"])
    applied = (
        "is applied"
        if plan["apply_gradient_scale"]
        else "is sampled but not applied, as in the released code"
    )
    text = (
        f"Search {plan['name']}: {plan['rounds']} rounds of {plan['samples']} proxies of "
        f"{plan['entry']}, preset {plan['preset']}, data {plan['data']}, seed {plan['seed']}. "
        f"Best reward {100 * best['reward']:.1f} AP (round {best['round']}, sample "
        f"{best['sample']}); {failed} proxies failed. The gradient scale {applied}. "
        f"found.py uses {used}."
    )
    if plan["preset"] != "paper":
        text += " Not the paper's search: its points are not comparable to the published ones."
    return text


def write_table(found: dict[str, Any], folder: str | Path) -> list[Path]:
    """Write ``search.csv``, ``.md`` and ``.html``; return the paths."""
    rows = table_rows(found)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([HEADER, *([*map(spreadsheet, row[:3]), *row[3:]] for row in rows)])
    shown = {"note": note(found), "header": HEADER, "rows": rows}
    texts = {"csv": stream.getvalue()} | {
        form: environment().get_template(f"search.{form}.j2").render(shown)
        for form in ("md", "html")
    }
    paths = [Path(folder) / f"search.{form}" for form in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        write_text(path, text)
    return paths


FOUND = "#0b6fb8"
LINES: dict[str, dict[str, Any]] = {
    "start": {"color": SOFT, "linestyle": (0, (1.2, 1.4)), "linewidth": 1.0},
    "published": {"color": "#b3541e", "linestyle": (0, (5, 1.6)), "linewidth": 1.2},
    "mean": {"color": FOUND, "linestyle": (0, (5, 1.4, 1.2, 1.4)), "linewidth": 1.2},
    "best": {"color": FOUND, "linestyle": "-", "linewidth": 1.8},
}
_ARGUMENTS = {"H": "score difference", "I": "quality"}


@styled
def search_figure(found: dict[str, Any]) -> Figure:
    """Return the figure of a finished search.

    Args:
        found: the content of ``found.json``.
    """
    heads = list(found["start"])
    rows = 1 + len(heads)
    figure = Figure(figsize=(9.2, 2.3 + 2.1 * len(heads)))
    grid = figure.add_gridspec(rows, len(FUNCTIONS))
    headline(figure, figure_title(found), note(found))
    _rewards(figure.add_subplot(grid[0, :]), found["rounds"])
    sources = heads_by_source(found)
    for row, head in enumerate(heads, start=1):
        for column, function in enumerate(FUNCTIONS):
            axes = figure.add_subplot(grid[row, column])
            for source, style in LINES.items():
                points = sources[source][head]["control_points"]
                if column < len(points):
                    x, y = points[column][::2], points[column][1::2]
                    axes.plot(x, y, label=SOURCES[source], **style)
            axes.set_title(f"{head} {function}" if len(heads) > 1 else function)
            axes.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
            axes.set_xlabel(_ARGUMENTS[function[0]])
    lines, labels = figure.axes[-1].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=len(lines))
    return figure


def figure_title(found: dict[str, Any]) -> str:
    """Return the title of the figure."""
    return f"Search {printable(found['plan']['name'])}"


def figure_words(found: dict[str, Any]) -> str:
    """Return the figure in words; the control points are in the table beside it."""
    rewards = (100 * np.array(turn["rewards"]) for turn in found["rounds"])
    rounds = "; ".join(
        f"round {turn} best {each.max():.1f}, mean {each.mean():.1f}"
        for turn, each in enumerate(rewards)
    )
    text = f"{note(found)} Box AP of the proxies: {rounds}. The functions are in search.md."
    return printable(text)


def _rewards(axes: Axes, rounds: list[dict[str, Any]]) -> None:
    turns = np.arange(len(rounds))
    every = [100 * np.array(turn["rewards"]) for turn in rounds]
    for turn, rewards in zip(turns, every, strict=True):
        axes.plot(np.full(len(rewards), turn), rewards, "o", color=SOFT, markersize=3, alpha=0.6)
    axes.plot(turns, [rewards.max() for rewards in every], color=FOUND, label="best of the round")
    axes.plot(
        turns,
        [rewards.mean() for rewards in every],
        color=FOUND,
        linestyle=(0, (5, 1.6)),
        label="mean of the round",
    )
    axes.set_title("Reward of the proxies")
    axes.set_ylabel("box AP ×100")
    axes.set_xlabel("round")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    # Next to the title, since the plot may have no free space.
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
