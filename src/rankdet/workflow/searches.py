"""Paths and parameters of the search rules, from configs/searches.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rankdet.errors import InputError, nearest
from rankdet.search.plan import Plan

FORMATS = ("svg", "png", "md", "csv", "html")


class Searches:
    """Paths of the jobs of a search, by their wildcards.

    Args:
        plans: by name.
    """

    def __init__(self, plans: Mapping[str, Plan]) -> None:
        self.plans = plans

    def plan(self, wildcards: Any) -> Plan:
        """Return the plan of a search; the error for an unknown name lists the known ones."""
        if wildcards.search not in self.plans:
            hint = nearest(wildcards.search, self.plans)
            raise InputError("a search of configs/searches.yaml", repr(wildcards.search), hint)
        return self.plans[wildcards.search]

    def dataset(self, wildcards: Any) -> str:
        """Return the prepared data set that is split for the search."""
        return f"data/prepared/{self.plan(wildcards).data}/dataset.json"

    def previous_round(self, wildcards: Any) -> str:
        """Return the folder of the previous round."""
        return f"results/search/{wildcards.search}/round-{int(wildcards.round) - 1:03d}"

    def previous_state(self, wildcards: Any) -> str:
        """Return the state of the previous round."""
        return f"{self.previous_round(wildcards)}/state.json"

    def previous_samples(self, wildcards: Any) -> list[str]:
        """Return the samples of the previous round."""
        return self._samples(wildcards, self.previous_round(wildcards))

    def rounds(self, wildcards: Any) -> list[str]:
        """Return all samples and all states of a search, the final one included."""
        rounds = [
            f"results/search/{wildcards.search}/round-{index:03d}"
            for index in range(self.plan(wildcards).rounds + 1)
        ]
        samples = [path for each in rounds[:-1] for path in self._samples(wildcards, each)]
        return [*samples, *(f"{each}/state.json" for each in rounds)]

    def files(self, search: str) -> list[str]:
        """Return the result of a search and its report, in every format."""
        folder = f"results/search/{search}"
        return [
            *(f"{folder}/found.json", f"{folder}/found.py"),
            *(f"{folder}/search.{suffix}" for suffix in FORMATS),
        ]

    def _samples(self, wildcards: Any, folder: str) -> list[str]:
        return [f"{folder}/sample-{index}.json" for index in range(self.plan(wildcards).samples)]
