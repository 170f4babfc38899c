"""The ``rankdet`` command: one verb per step of the DAG.

Each module of this package registers its verbs on `rankdet.cli.app.app`; heavy imports (torch,
mmdet, matplotlib) stay inside the verbs, so that ``rankdet --help`` answers at once.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

from rankdet.cli.app import app
from rankdet.cli.stop import Stopped, end_at_signals
from rankdet.cluster.launch import own_arguments
from rankdet.errors import InputError
from rankdet.outputs import write_failure
from rankdet.quiet import quiet_dependencies


def main() -> None:
    """Run the command; a user's mistake ends with one message and exit code 2."""
    quiet_dependencies()
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    end_at_signals()
    try:
        app(args=own_arguments())
    except Stopped as stop:
        print(f"rankdet: stopped by {stop.reason}", file=sys.stderr)
        raise
    except InputError as error:
        print(f"rankdet: error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        failure = write_failure(error)
        if failure is None:
            raise
        print(f"rankdet: error: {failure}", file=sys.stderr)
        sys.exit(1)
