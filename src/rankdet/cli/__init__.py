"""The ``rankdet`` command: one verb per step of the DAG.

Each module of this package registers its verbs on `rankdet.cli.app.app`; heavy imports (torch,
mmdet, matplotlib) stay inside the verbs, so that ``rankdet --help`` answers at once.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

from rankdet.cli.app import app
from rankdet.cluster.launch import own_arguments
from rankdet.errors import InputError
from rankdet.files import is_full_disk
from rankdet.quiet import quiet_dependencies


def main() -> None:
    """Run the command; a user's mistake ends with one message and exit code 2."""
    quiet_dependencies()
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    try:
        app(args=own_arguments())
    except InputError as error:
        print(f"rankdet: error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if not is_full_disk(error):
            raise
        todo = "make room and run it again; --resume lets a training go on from its checkpoint"
        print(f"rankdet: error: {error}; {todo}", file=sys.stderr)
        sys.exit(1)
