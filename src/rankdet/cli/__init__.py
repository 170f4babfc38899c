"""The ``rankdet`` command: one verb per step of the DAG.

Each module of this package registers its verbs on `rankdet.cli.app.app`; heavy imports (torch,
mmdet, matplotlib) stay inside the verbs, so that ``rankdet --help`` is fast. Nothing here imports
more than the standard library before `main` runs: an installation with only the losses, on any
Python of theirs, has the command too, and reports what is missing.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys

from rankdet.cli.stop import Stopped, end_at_signals
from rankdet.errors import InputError
from rankdet.outputs import write_failure

PYTHONS = ((3, 11), (3, 12))  # of the pipeline; the extra's markers in pyproject.toml say the same
EXTRA = 'pip install "rankdet[pipeline]"'


def main() -> None:
    """Run the command; a user mistake ends with a one-line message and exit code 2."""
    _replace_unprintable_characters()
    try:
        _check_python(sys.version_info[:2])
        try:
            _run()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # a closed pipe raises here, not when Python ends
    except BrokenPipeError:
        _discard_output()
        sys.exit(1)
    except Stopped as stop:
        print(f"rankdet: stopped by {stop.reason}", file=sys.stderr)
        raise
    except InputError as error:
        print(f"rankdet: error: {error}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        print(f"rankdet: error: {missing_package(error)}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        failure = write_failure(error)
        if failure is None:
            raise
        print(f"rankdet: error: {failure}", file=sys.stderr)
        sys.exit(1)


def missing_package(error: ModuleNotFoundError) -> InputError:
    """Return the error message for a package that is not installed.

    Raises:
        ModuleNotFoundError: ``error`` itself, if it is about one of our own modules.
    """
    name = error.name or str(error)
    package = name.partition(".")[0]
    if package == __name__.partition(".")[0]:
        raise error
    if package != name and package in sys.modules:
        fix = "reinstall that package; `rankdet doctor` shows which build is needed"
        return InputError(f"the module {name}", f"an installed {package} without it", fix)
    return InputError(
        f"the package {package}, which this command needs",
        "an installation without it",
        EXTRA,
    )


def _check_python(version: tuple[int, ...]) -> None:
    if version not in PYTHONS:
        names = " or ".join(".".join(map(str, each)) for each in PYTHONS)
        raise InputError(
            f"Python {names} for the command `rankdet`",
            f"Python {'.'.join(map(str, version))}, where only the library runs",
            f"make an environment with Python {names} and in it {EXTRA}",
        )


def _run() -> None:
    from rankdet.cli.app import app
    from rankdet.cluster.slurm import own_arguments
    from rankdet.quiet import quiet_dependencies

    quiet_dependencies()
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    end_at_signals()
    app(args=own_arguments())


def _replace_unprintable_characters() -> None:
    """Print a replacement for characters that the terminal cannot encode."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _discard_output() -> None:
    """Discard buffered output whose reader has closed the pipe."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(null, stream.fileno())
        except (AttributeError, ValueError):
            continue  # no stream, or a closed one
