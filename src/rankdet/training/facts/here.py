"""The run of a row here, for the report."""

from __future__ import annotations

from rankdet.catalogue import Entry
from rankdet.report.run_here import Deviation, RunHere
from rankdet.training.facts.behaviours import behaviours
from rankdet.training.facts.compare import differences, explanations
from rankdet.training.facts.resolved import resolved_facts
from rankdet.training.resolve import load_config

UNEXPLAINED = "not explained: a mistake of this package, please report it"


def run_here(entry: Entry) -> RunHere:
    """Return settings and deviations of a row that has a config."""
    config = load_config(entry.entry_id)
    found = [
        Deviation(each.field, each.official, each.here, each.reason or UNEXPLAINED)
        for each in differences(entry, config, explanations())
    ]
    found += [
        Deviation("behaviour", line.official, line.here, line.reason)
        for line in behaviours()
        if line.is_about(entry.entry_id)
    ]
    return RunHere(resolved_facts(config), found)
