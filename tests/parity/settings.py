"""Every setting of every row under preset paper, as a table that is compared leaf by leaf.

The catalogue compares what the papers' tables talk about; this table holds the rest, too: weights
of each loss, pools, samplers of each stage, files, filters, values of transforms. A line is a path
in the resolved config, a value and the rows that have it there; a row has a path only if a line
says so. `test_settings.py` compares.

    python -m tests.parity.settings                     what differs from the configs
    python -m tests.parity.settings --write "SOURCE"    write the table anew from the configs

A line of ``expected/settings.csv`` is a claim about the official run, and ``source`` says from
where it is known. The second command gives SOURCE to the lines that are new, and keeps the others:
read its diff as a change of the experiment.
"""

from __future__ import annotations

import csv
import io
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from itertools import product
from pathlib import Path

from tests.parity.rows import WITH_CONFIG, paper

TABLE = Path(__file__).parent / "expected" / "settings.csv"
HEADER = """\
# What the official runs were set to: every value that a run of preset paper reads from its config.
# rows: patterns of entry ids. source: where the value is known from; names of texts as in
# README.md beside this file. A CHANGE HERE IS A CHANGE OF THE EXPERIMENT: name the source that says
# so. Written by `python -m tests.parity.settings --write "SOURCE"`; read its diff.
"""
COLUMNS = ("path", "value", "rows", "source")
# What the run reads. Not here: hooks, visualizer, log level and such, which rankdet's runner sets.
READ = (
    *("model", "load_from", "custom_imports", "custom_hooks", "env_cfg"),
    *("train_dataloader", "val_dataloader", "test_dataloader", "val_evaluator", "test_evaluator"),
    *("train_cfg", "val_cfg", "test_cfg", "optim_wrapper", "param_scheduler", "auto_scale_lr"),
)
REPLACED = (
    *("default_scope", "default_hooks", "visualizer", "log_processor", "log_level", "resume"),
)
# Names of mmdet's base files and of configs/_base_ that only other lines of a config read.
VARIABLES = {
    *("dataset_type", "data_root", "backend_args", "train_pipeline", "test_pipeline"),
    *("vis_backends", "max_epochs", "img_norm_cfg", "input_size", "tta_model", "tta_pipeline"),
    *("img_scales", "giou_loss", "rank_sort_loss", "pool_images", "rank_sort_rpn"),
    *("rank_sort_box", "all_anchors", "all_proposals", "rank_sort_score_thr", "rank_sort_lr"),
    *("carafe_neck", "resnet101", "resnext101_64x4d", "deformable", "short_480_to_960"),
    *("short_800_to_640", "short_640_to_800", "bucketed", "stage", "stage_cfg", "alrp_loss"),
    *("balance", "keep_flat_boxes"),
}
Leaves = dict[str, str]


def leaves(path: str, value: object) -> Iterator[tuple[str, str]]:
    """Yield path and value of everything below ``path``; a transform of a pipeline is one value."""
    if isinstance(value, dict) and value and ".pipeline." not in path:
        for key, inner in value.items():
            if key != "_scope_":
                yield from leaves(f"{path}.{key}", inner)
    elif isinstance(value, (list, tuple)) and any(isinstance(each, dict) for each in value):
        for index, inner in enumerate(value):
            yield from leaves(f"{path}.{index}", inner)
    else:
        yield path, said(value)


def said(value: object) -> str:
    """Return a value as text; a dictionary with a type as a call."""
    if isinstance(value, dict):
        inner = {key: each for key, each in value.items() if key not in ("type", "_scope_")}
        words = ", ".join(f"{key}={said(inner[key])}" for key in sorted(inner))
        return f"{value.get('type', '')}({words})"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(said(each) for each in value)}]"
    return repr(value)


@cache
def found(entry_id: str) -> Leaves:
    """Return the settings of a row as its config has them."""
    config = paper(entry_id).to_dict()
    return {path: text for key in READ if key in config for path, text in leaves(key, config[key])}


def read() -> list[dict[str, str]]:
    """Return the lines of the table."""
    text = TABLE.read_text(encoding="utf-8")
    body = [line for line in text.splitlines(keepends=True) if not line.startswith("#")]
    return list(csv.DictReader(io.StringIO("".join(body))))


def expected(lines: list[dict[str, str]]) -> dict[str, Leaves]:
    """Return row -> path -> value.

    Raises:
        ValueError: if two lines speak about one setting of one row.
    """
    rows: dict[str, Leaves] = {entry.entry_id: {} for entry in WITH_CONFIG}
    for line in lines:
        for entry_id in matched(line["rows"], rows):
            if line["path"] in rows[entry_id]:
                raise ValueError(f"two lines about {line['path']} of {entry_id}")
            rows[entry_id][line["path"]] = line["value"]
    return rows


def matched(patterns: str, names: Mapping[str, object]) -> list[str]:
    """Return the names that fit one of the patterns."""
    return [name for name in names if any(fnmatchcase(name, each) for each in patterns.split())]


def differing(row: Leaves, wanted: Leaves) -> list[str]:
    """Return a line for each setting in which the two differ."""
    return [
        f"{path}: {row.get(path, 'absent')}, expected {wanted.get(path, 'absent')}"
        for path in sorted({*row, *wanted})
        if row.get(path) != wanted.get(path)
    ]


def _candidates(names: list[str]) -> dict[str, frozenset[str]]:
    """Return patterns start*end and *middle* of the parts of the names, with what they fit."""
    patterns = {"*"}
    for name in names:
        parts = name.split("_")
        starts = ["_".join(parts[:count]) + "_" for count in range(1, len(parts))]
        ends = ["_" + "_".join(parts[count:]) for count in range(1, len(parts))]
        patterns |= {name, *(f"{start}*" for start in starts), *(f"*{end}" for end in ends)}
        patterns |= {f"{a}*{b}" for a, b in product(starts, ends) if len(a) + len(b) < len(name)}
        patterns |= {f"*_{part}_*" for part in parts}
    fits: dict[frozenset[str], str] = {}
    for pattern in sorted(patterns, key=lambda each: (len(each), each)):
        fitted = frozenset(name for name in names if fnmatchcase(name, pattern))
        if fitted:
            fits.setdefault(fitted, pattern)
    return {pattern: fitted for fitted, pattern in fits.items()}


def patterns_of(wanted: frozenset[str], candidates: dict[str, frozenset[str]]) -> str:
    """Return patterns that fit these names and no other, few and short ones."""
    usable = {pattern: names for pattern, names in candidates.items() if names <= wanted}
    chosen, missing = [], set(wanted)
    while missing:
        best = max(usable, key=lambda each: (len(usable[each] & missing), -len(each), each))
        chosen.append(best)
        missing -= usable[best]
    return " ".join(chosen)


def table(source: str) -> str:
    """Return the table that fits the configs; lines that are new have ``source``."""
    kept = defaultdict(set)
    for line in read() if TABLE.exists() else []:
        kept[line["path"], line["value"]].add(line["source"])
    rows: dict[tuple[str, str], list[str]] = defaultdict(list)
    places: dict[str, None] = {}
    for entry in WITH_CONFIG:
        for path, value in found(entry.entry_id).items():
            rows[path, value].append(entry.entry_id)
            places[path] = None
    names = [entry.entry_id for entry in WITH_CONFIG]
    candidates = _candidates(names)
    order = {path: (READ.index(path.split(".")[0]), path) for path in places}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for (path, value), own in sorted(
        rows.items(), key=lambda item: (order[item[0][0]], item[0][1])
    ):
        sources = kept.get((path, value)) or {source}
        writer.writerow([path, value, patterns_of(frozenset(own), candidates), "; ".join(sources)])
    return HEADER + out.getvalue()


def main(arguments: list[str]) -> int:
    """Compare, or write."""
    if arguments and (arguments[0] != "--write" or len(arguments) != 2):
        print(__doc__)
        return 2
    if arguments:
        TABLE.write_text(table(arguments[1]), encoding="utf-8")
        return 0
    wanted = expected(read())
    lines = [
        f"{entry.entry_id} {line}"
        for entry in WITH_CONFIG
        for line in differing(found(entry.entry_id), wanted[entry.entry_id])
    ]
    print("\n".join(lines) or "no difference")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
