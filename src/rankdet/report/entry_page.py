"""One entry on the terminal: published figures, settings with their source, status."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from rankdet.catalogue import Entry, PublishedValue, State
from rankdet.report.listing import state_text
from rankdet.report.plain import cell, printable
from rankdet.report.run_here import RunHere, deviations_view

# Groups of facts. The keys of `verified` that start with one of the prefixes give the source of the
# group; `all_hyperparameters` in `verified` is the source of every group.
GROUPS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "data": (
        ("optimiser_lr_schedule_data_model",),
        ("dataset", "train_scale", "augmentations", "img_mean", "img_std", "to_rgb"),
    ),
    "model": (
        ("optimiser_lr_schedule_data_model",),
        (
            *("detector", "backbone", "neck", "dcn", "head_type", "anchors", "box_coder_stds"),
            *("pretrained", "pretrained_url", "frozen_stages", "norm_eval"),
        ),
    ),
    "loss": (
        ("loss_hparams",),
        ("loss_cls", "loss_bbox", "loss_mask", "loss_hparams"),
    ),
    "assignment": (("optimiser_lr_schedule_data_model",), ("assigner", "sampler")),
    "schedule": (
        ("optimiser_lr_schedule_data_model",),
        (
            *("epochs", "optimizer", "base_lr", "momentum", "weight_decay", "lr_policy"),
            *("lr_steps", "warmup", "warmup_iters", "warmup_ratio", "grad_clip"),
        ),
    ),
    "batch": (
        ("optimiser_lr_schedule_data_model",),
        ("samples_per_gpu", "pool_images", "workers_per_gpu"),
    ),
    "machines": (("gpus_official",), ("gpus_official", "total_batch")),
    "test": (
        ("test_settings", "optimiser_lr_schedule_data_model_test"),
        (
            *("test_scale", "score_thr", "nms", "nms_iou", "nms_pre", "max_per_img"),
            *("test_other", "metrics_to_report"),
        ),
    ),
}


def source_of(entry: Entry, prefixes: tuple[str, ...]) -> str:
    """Return where a group of facts was read, or 'not stated'."""
    for key, source in entry.verified.items():
        if key == "all_hyperparameters" or key.startswith(prefixes):
            return source.replace("_", " ")
    return "not stated"


def entry_page(
    entry: Entry,
    heading: str,
    published: tuple[PublishedValue, ...],
    state: State,
    here: RunHere | None = None,
) -> RenderableType:
    """Return everything that the catalogue says about ``entry``; ``heading`` is its table's.

    ``here`` adds the settings of its config, and the differences from the official run.
    """
    head = Text.assemble(
        (f"{entry.entry_id}\n", "bold"),
        f"{printable(entry.row_label)} — {printable(heading)} [{entry.table_slug}]\n",
        f"{printable(entry.paper)}\nstatus: ",
        state_text(state),
        f"\nconfig: configs/{entry.family}/{entry.entry_id}.py"
        + ("" if state.has_config else " (none yet)"),
    )
    official = entry.official_config
    if entry.has_official_config:
        official = f"{entry.official_repo} {entry.official_config} @ {entry.repo_commit[:8]}"
    head.append(f"\nofficial config: {printable(official) or 'not public'}")
    parts: list[RenderableType] = [head, _published(published), _facts(entry, here)]
    if here is not None:
        parts.append(deviations_view(here))
    if entry.notes.strip():
        parts.append(Text.assemble(("\nnotes  ", "bold"), printable(entry.notes)))
    return Group(*parts)


def _plain(title: str) -> RichTable:
    return RichTable(
        title=f"\n{title}",
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="dim",
    )


def _published(published: tuple[PublishedValue, ...]) -> RenderableType:
    if not published:
        return Text("\nno published figure", "dim")
    view = _plain("published figures")
    view.add_column("metric")
    view.add_column("value", justify="right")
    view.add_column("split")
    view.add_column("source", overflow="fold")
    for value in published:
        kind = {"bbox": "box ", "segm": "mask "}.get(value.iou_type or "", "")
        number = "—" if value.value is None else f"{value.value:g}"
        view.add_row(cell(kind + value.metric), number, value.split, cell(value.source))
    return view


def _facts(entry: Entry, here: RunHere | None) -> RichTable:
    view = _plain("settings of the official run with their source, and the settings here")
    view.add_column("setting")
    view.add_column("official", overflow="fold")
    view.add_column("here", overflow="fold")
    view.add_column("source", overflow="fold", min_width=14)
    for group, (prefixes, fields) in GROUPS.items():
        view.add_row(Text(group, "italic"), "", "", cell(source_of(entry, prefixes)))
        for field in fields:
            value = getattr(entry, field)
            setting = here.shown(field) if here else ""
            if value not in (None, "") or setting not in ("", "same"):
                shown = f"{value:g}" if isinstance(value, float) else str(value or "none")
                view.add_row(f"  {field}", cell(shown), cell(setting), "")
    return view
