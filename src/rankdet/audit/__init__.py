"""Our resolved configs against the settings of the official runs, as two dictionaries."""

from rankdet.audit.compare import Audit, audit, differences
from rankdet.audit.resolved import resolved_settings

__all__ = ["Audit", "audit", "differences", "resolved_settings"]
