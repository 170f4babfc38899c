"""The official run beside this one, before a training of preset paper begins."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from rankdet.audit import Audit, audit
from rankdet.audit.compare import text
from rankdet.catalogue import Entry
from rankdet.catalogue.official import UNKNOWN, leaves
from rankdet.datasets.manifest import Manifest

# Settings that everybody looks at first, and their names in the table.
SHOWN = {
    "schedule.optimizer.lr": "learning rate",
    "schedule.epochs": "epochs",
    "schedule.policy.type": "schedule",
    "schedule.policy.milestones": "steps of the schedule",
    "schedule.warmup.iterations": "iterations of warm-up",
    "schedule.optimizer.type": "optimizer",
}
# Settings that follow from the data set, which has a line of its own.
OF_THE_DATA = {"annotations", "images", "dataset", "classes", "num_classes", "color_type"}


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
    own = total // (processes * passes)
    found = audit(entry, config.to_dict())
    official, ours = entry.official.leaves, dict(leaves(found.settings))
    here = official_data or f"{data.name}: {data.train.image_count} images, not the official set"
    batch = str(official.get("batch.total", UNKNOWN))
    wanted, pools = _pools(official), _pools(ours)
    settings = [
        Setting("data", entry.dataset, here, official_data != entry.dataset),
        Setting("images a step", batch, str(total), batch not in (UNKNOWN, str(total))),
        Setting("GPUs", str(total // of_gpu), f"{processes}, {passes} passes a step", False),
        Setting("images a GPU and pass", str(of_gpu), str(own), own != of_gpu),
        Setting("images ranked together", wanted, pools, wanted != pools),
    ]
    settings += _shown(official, ours)
    settings += _others(found)
    if speed:
        settings.append(Setting("speed options", "none", ", ".join(speed), True))
    return settings


def _pools(settings: dict[str, Any]) -> str:
    sizes = {value for path, value in settings.items() if path.endswith(".pool_images")}
    return ", ".join(map(str, sorted(sizes))) or "none"


def _shown(official: dict[str, Any], ours: dict[str, Any]) -> Iterator[Setting]:
    for path, name in SHOWN.items():
        if path in official or path in ours:
            both = text(official.get(path, UNKNOWN)), text(ours.get(path, "none"))
            yield Setting(name, *both, both[0] not in (UNKNOWN, both[1]))


def _others(found: Audit) -> Iterator[Setting]:
    """Yield what else differs and is not explained; the batch and the pools have their lines."""
    for each in found.unexplained:
        *_, last = each.setting.split(".")
        has_line = last == "pool_images" or each.setting in (*SHOWN, "batch.total")
        if not has_line and last not in OF_THE_DATA:
            yield Setting(each.setting, each.official, each.here, True)


def as_text(title: str, settings: Sequence[Setting]) -> str:
    """Return the settings as an aligned table; what differs is marked."""
    rows = [(title, "official run", "this run", "")]
    rows += [(s.name, s.official, s.here, "DIFFERS" * s.differs) for s in settings]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join(
            [*(each.ljust(width) for each, width in zip(row, widths, strict=False)), row[3]]
        ).rstrip()
        for row in rows
    )


def differing(settings: Sequence[Setting]) -> list[str]:
    """Return what makes this another run than the official one, for its record."""
    return [f"{s.name}: official {s.official}, here {s.here}" for s in settings if s.differs]
