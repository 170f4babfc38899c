"""Where the commands read, write and log by default.

A container has two mounts: a data set to read and a folder to write. ``RANKDET_DATA`` and
``RANKDET_RESULTS`` name them; command line options take precedence.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rankdet.errors import InputError

if TYPE_CHECKING:
    from rankdet.catalogue import Entry
    from rankdet.catalogue.presets import Preset
    from rankdet.datasets.manifest import Manifest
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from rankdet.outputs import write_failure

DATA, RESULTS = "RANKDET_DATA", "RANKDET_RESULTS"


def data_set(given: Path | None, entry: Entry, preset: Preset) -> Manifest:
    """Return the data set: the given one, else that of the environment, prepared if necessary.

    Args:
        given: a dataset.json, or None.
        entry: the row; determines which annotations of the folder are needed.
        preset: determines which data set is used.

    Raises:
        InputError: if nothing is given, or the folder is neither prepared nor in COCO layout.
    """
    from rankdet.datasets.manifest import load_manifest

    if given is not None:
        return load_manifest(given)
    if preset.dataset == "digits":
        return _digits(entry, preset)
    if preset.dataset == "drawn":
        from rankdet.datasets.drawn import prepare_drawn

        folder = _results("--data") / "data" / f"drawn-{entry.dataset}"
        return prepare_drawn(folder, entry.dataset)
    if not os.environ.get(DATA):
        raise InputError(
            "--data, a dataset.json",
            f"neither it nor {DATA}",
            "write one with `rankdet prepare`, or set the variable to a folder in COCO layout",
        )
    root = Path(os.environ[DATA])
    if not root.is_dir() or not any(root.iterdir()):
        raise InputError(
            f"a data set in {root} ({DATA})",
            "nothing there",
            f"mount a prepared data set or a folder in COCO layout: -v DATA:{root}:ro",
        )
    if (root / "dataset.json").exists():
        return load_manifest(root)
    return _coco(root, entry, preset)


def files_of(given: Path | None, manifest: Manifest | None) -> list[Path]:
    """Return the files of a data set, which no output may overwrite."""
    if manifest is None:
        return []
    path = manifest.folder / "dataset.json" if given is None or given.is_dir() else given
    return [path, manifest.annotations("train"), manifest.annotations("val")]


def checkpoint(given: Path | None, entry: Entry, preset: str) -> Path:
    """Return the path of the trained checkpoint."""
    return given or _results("--out") / preset / entry.entry_id / "checkpoint.pth"


def detections(given: Path | None, entry: Entry, preset: str) -> Path:
    """Return the path of the detections."""
    return given or _results("--out") / preset / entry.entry_id / "detections.json"


def work_dir(given: Path | None, entry: Entry, preset: str, part: str = "") -> Path:
    """Return the folder of the intermediate checkpoints."""
    return given or _results("--work-dir") / "work" / preset / entry.entry_id / part


def _results(option: str) -> Path:
    if not os.environ.get(RESULTS):
        raise InputError(option, f"neither it nor {RESULTS}", "give the option")
    return Path(os.environ[RESULTS])


def _digits(entry: Entry, preset: Preset) -> Manifest:
    from rankdet.catalogue.presets import TINY_DIGITS
    from rankdet.catalogue.studies import study_data
    from rankdet.datasets.digits import prepare_digits
    from rankdet.datasets.manifest import load_manifest

    name = preset.data_of(entry.dataset)
    folder = _results("--data") / "data" / name
    if (folder / "dataset.json").exists():
        return load_manifest(folder)
    own = study_data().get(name)
    if own is not None:
        return prepare_digits(folder, **own)
    counts = dict(TINY_DIGITS) if name == "digits-tiny" else {}
    return prepare_digits(folder, long_tail=name == "digits-lvis", **counts)  # type: ignore[arg-type]


def _coco(root: Path, entry: Entry, preset: Preset) -> Manifest:
    """Prepare the folder once; unchanged annotation files are not checked again."""
    from rankdet.datasets.coco import prepare_coco
    from rankdet.datasets.manifest import load_manifest
    from rankdet.datasets.own_files import annotation_files

    name = preset.data_of(entry.dataset)
    overfit = name == "mini-overfit"
    kind = "lvis" if name == "lvis" else "coco"
    path = _results("--data") / "data" / name / "dataset.json"
    if path.exists():
        try:
            manifest = load_manifest(path)
        except InputError as changed:
            print(f"{changed.got}: prepared again", file=sys.stderr)
        else:
            if manifest.is_of(annotation_files(root.resolve(), kind)):
                return manifest
    return prepare_coco(root, path, name, format=kind, overfit=overfit)


@contextmanager
def logged(path: Path | None) -> Iterator[None]:
    """Redirect the output of dependencies to ``path``; `sys.stderr` still goes to the screen.

    mmengine logs to stdout, compiled code to the file descriptors 1 and 2; both go to the file, so
    that the output of many trainings stays readable. A failure message gives the path of the file.
    """
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    encoding = getattr(sys.stderr, "encoding", None)
    screen = os.fdopen(os.dup(2), "w", buffering=1, encoding=encoding, errors="replace")
    saved = os.dup(1), os.dup(2)
    with path.open("ab", buffering=0) as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    own, sys.stderr = sys.stderr, screen
    try:
        yield
    except (InputError, ModuleNotFoundError) as error:
        os.write(2, f"rankdet: error: {error}\n".encode(errors="replace"))
        raise
    except Exception as error:
        if write_failure(error) is not None:
            raise  # reported in one line; the log may be on the full disk
        os.write(2, traceback.format_exc().encode(errors="replace"))
        print(f"rankdet: {type(error).__name__}: {error}\n  full log: {path}", file=screen)
        raise SystemExit(1) from None
    finally:
        sys.stdout.flush()
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        for descriptor in saved:
            os.close(descriptor)
        sys.stderr = own
        screen.close()
