"""A resolved config in the catalogue's words, and what differs from the official run."""

from rankdet.training.facts.compare import Difference, differences
from rankdet.training.facts.resolved import FIELDS, resolved_facts

__all__ = ["FIELDS", "Difference", "differences", "resolved_facts"]
