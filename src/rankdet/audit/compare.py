"""What a run here has otherwise than the official run, setting by setting, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rankdet.audit.resolved import resolved_settings
from rankdet.catalogue.deviations import Deviation, stated_deviations
from rankdet.catalogue.entry import Entry
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
