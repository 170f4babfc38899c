"""The official run beside this one, before a training of preset paper begins."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from mmengine.config import Config

from rankdet.catalogue import Entry
from rankdet.datasets.manifest import Manifest
from rankdet.training import shrink
from rankdet.training.facts import differences, resolved_facts
from rankdet.training.facts.compare import explanations

# Facts of the catalogue that everybody looks at first, and their names in the table.
SHOWN = {
    "base_lr": "learning rate",
    "epochs": "epochs",
    "lr_policy": "schedule",
    "lr_steps": "steps of the schedule",
    "warmup_iters": "iterations of warm-up",
    "optimizer": "optimizer",
    "train_scale": "training size",
}


@dataclass(frozen=True)
class Setting:
    """One line: what the official run had, what this one has, and whether that is another run."""

    name: str
    official: str
    here: str
    differs: bool


def compare_setup(
    entry: Entry,
    config: Config,
    data: Manifest,
    official_data: str | None,
    processes: int,
    passes: int,
    speed: Collection[str] = (),
) -> list[Setting]:
    """Return the settings of the official run beside those of this one.

    Args:
        entry: the row.
        config: resolved under preset paper, its batch not yet divided.
        data: what is trained on.
        official_data: which official data set ``data`` is; None if another.
        processes: that train together, each on a GPU of its own.
        passes: of each process and step.
        speed: options that change how numbers are computed.
    """
    total = config.auto_scale_lr.base_batch_size
    of_gpu = config.train_dataloader.batch_size
    pools = sorted({n.pool_images for n in shrink.nodes(config.model) if n.get("pool_images")})
    own = total // (processes * passes)
    found = {each.field: each for each in differences(entry, config, explanations())}
    unexplained = {name for name, each in found.items() if each.reason is None}
    here = official_data or f"{data.name}: {data.train.image_count} images, not the official set"
    wanted = [entry.samples_per_gpu] if pools and entry.samples_per_gpu else pools
    ranked = [", ".join(map(str, each)) or "none" for each in (wanted, pools)]
    batch = entry.total_batch or "unknown"
    settings = [
        Setting("data", entry.dataset, here, official_data != entry.dataset),
        Setting("images a step", batch, str(total), "total_batch" in unexplained),
        Setting("GPUs", str(total // of_gpu), f"{processes}, {passes} passes a step", False),
        Setting("images a GPU and pass", str(of_gpu), str(own), own != of_gpu),
        Setting("images ranked together", *ranked, wanted != pools),
    ]
    settings += _facts(entry, config, unexplained)
    if speed:
        settings.append(Setting("speed options", "none", ", ".join(speed), True))
    return settings


def _facts(entry: Entry, config: Config, unexplained: set[str]) -> Iterator[Setting]:
    facts = resolved_facts(config)
    others = sorted(unexplained - {*SHOWN, "total_batch", "dataset"})
    for field in (*SHOWN, *others):
        official = getattr(entry, field)
        text = "unknown" if official is None else str(official)
        yield Setting(SHOWN.get(field, field), text, facts[field], field in unexplained)


def as_text(title: str, settings: Sequence[Setting]) -> str:
    """Return the settings as an aligned table; what differs is marked."""
    rows = [(title, "official run", "this run", "")]
    rows += [(s.name, s.official, s.here, "DIFFERS" * s.differs) for s in settings]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join(
            [*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]]
        ).rstrip()
        for row in rows
    )


def differing(settings: Sequence[Setting]) -> list[str]:
    """Return what makes this another run than the official one, for its record."""
    return [f"{s.name}: official {s.official}, here {s.here}" for s in settings if s.differs]
