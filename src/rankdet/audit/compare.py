"""A run here beside the official one, setting by setting, with the stated reasons."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rankdet.audit.resolved import resolved_settings
from rankdet.catalogue.catalogue import Deviation, Entry, stated_deviations
from rankdet.catalogue.official import UNKNOWN, OfficialSettings, leaves

ABSENT = "absent"
# Settings of an official run that no config has.
OFFICIAL_ONLY = {
    "batch.gpus": "follows from the images of a step and of a GPU",
    "model.backbone.pretrained_url": "the file of the name that the config has",
}
UNEXPLAINED = "not explained: a mistake of this package, please report it"


@dataclass(frozen=True)
class Audit:
    """A row's config under preset paper, compared with the official run.

    Attributes:
        settings: the settings here, nested as `OfficialSettings.groups`.
        deviations: settings and behaviors that are not the official ones, each with its reason.
    """

    settings: Mapping[str, Any]
    deviations: Sequence[Deviation]

    @property
    def unexplained(self) -> list[Deviation]:
        """Deviations that nobody stated."""
        return [each for each in self.deviations if each.reason == UNEXPLAINED]


def audit(
    entry: Entry, config: Mapping[str, Any], stated: Sequence[Deviation] | None = None
) -> Audit:
    """Compare a row's config under preset paper with its official settings.

    Args:
        entry: the row.
        config: the resolved config as a dictionary.
        stated: the deviations with a reason; by default those of ``deviations.csv``.
    """
    stated = stated_deviations() if stated is None else stated
    here = resolved_settings(config)
    found = []
    for each in differences(entry.official, here, entry.entry_id):
        reasons = [line.reason for line in stated if line.explains(entry.entry_id, each)]
        found.append(each.model_copy(update={"reason": reasons[0]}) if reasons else each)
    found += [line for line in stated if not line.setting and line.is_about(entry.entry_id)]
    return Audit(here, found)


def differences(
    official: OfficialSettings, here: Mapping[str, Any], entry_id: str = "*"
) -> list[Deviation]:
    """Return every setting whose value differs; one that no source states cannot differ."""
    wanted, ours = official.leaves, dict(leaves(here))
    return [
        Deviation(
            entries=entry_id,
            setting=path,
            official=text(wanted.get(path, ABSENT)),
            here=text(ours.get(path, ABSENT)),
            reason=UNEXPLAINED,
        )
        for path in (*wanted, *(path for path in ours if path not in wanted))
        if path not in OFFICIAL_ONLY
        and wanted.get(path) != UNKNOWN
        and wanted.get(path, ABSENT) != ours.get(path, ABSENT)
    ]


def text(value: Any) -> str:
    """Return a value as it is printed."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{name}={text(each)}" for name, each in value.items() if name != "type")
        return f"{value.get('type', '')}({inner})"
    if isinstance(value, list | tuple):
        return f"[{', '.join(text(each) for each in value)}]"
    return str(value) or "''"


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
    config: Mapping[str, Any],
    data_name: str,
    images: int,
    official_data: str | None,
    processes: int,
    passes: int,
    speed: Collection[str] = (),
) -> list[Setting]:
    """Return the settings of the official run beside those of this one.

    Args:
        entry: the row.
        config: resolved under preset paper, as a dictionary, its batch not yet divided.
        data_name: the data set that is trained on.
        images: its images.
        official_data: which official data set it is; None if another.
        processes: that train together, each on a GPU of its own.
        passes: of each process and step.
        speed: options that change how numbers are computed.
    """
    total = config["auto_scale_lr"]["base_batch_size"]
    of_gpu = config["train_dataloader"]["batch_size"]
    own = total // (processes * passes)
    found = audit(entry, config)
    official, ours = entry.official.leaves, dict(leaves(found.settings))
    here = official_data or f"{data_name}: {images} images, not the official set"
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
