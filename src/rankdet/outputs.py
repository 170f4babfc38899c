"""Output files: checked before the work starts, then written completely or not at all.

A link is kept, and the file that it points to is written. Devices, pipes and sockets are refused:
a file is moved into place and would replace them.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rankdet.errors import InputError

SHOWN = 400  # characters of a path in a message
NAME_MAX = 255  # bytes of one name, on every common file system
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}
ROOM = "free some space and run it again; a training continues from its checkpoint with --resume"
# How to fix an error of writing; other errors do not depend on the output path.
REMEDY = {
    errno.ENOSPC: ROOM,
    errno.EDQUOT: ROOM,
    errno.EFBIG: "raise the file size limit (ulimit -f) or write to another disk",
    errno.EROFS: "write to another folder: this file system is read-only",
    errno.EACCES: "check the permissions or choose another path",
    errno.EPERM: "check the permissions or choose another path",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EISDIR: "give a file, not a folder",
    errno.ENOTDIR: "choose a path in a folder, not in a file",
    errno.ELOOP: "fix the link or choose another path",
    errno.EBUSY: "write to another folder: this file is in use, or a mount point",
    errno.ETXTBSY: "write to another folder: this file is in use",
    errno.EIO: "check the disk",
    errno.ESTALE: "check the network file system",
}


def write_failure(error: BaseException) -> str | None:
    """Return a one-line message for a file system error, with the fix; None for other errors."""
    if not isinstance(error, OSError) or error.errno not in REMEDY:
        return None
    return f"{error}; {REMEDY[error.errno]}".replace("\n", " ")


def check_outputs(
    files: Mapping[str, str | Path | None],
    folders: Mapping[str, str | Path | None] | None = None,
    *,
    log: str | Path | None = None,
    inputs: Iterable[str | Path | None] = (),
    own: Iterable[str | Path] = (),
) -> None:
    """Check that all outputs of a command can be written, before it starts.

    Args:
        files: {option: file to write}; None is ignored.
        folders: {option: folder to write into}.
        log: the file of ``--log``; it is appended to, so it may be a device.
        inputs: files that the command reads; no output may be one of them.
        own: other files that the command writes, under fixed names.

    Raises:
        InputError: naming the option, the path and the problem.
    """
    given = {option: Path(path) for option, path in files.items() if path is not None}
    places = {option: Path(path) for option, path in (folders or {}).items() if path is not None}
    found = {option: _checked_file(option, path) for option, path in given.items()}
    if log is not None:
        found["--log"] = _checked_log(Path(log))
    areas = {option: _checked_folder(option, path) for option, path in places.items()}
    read = {real_path(path) for path in inputs if path is not None}
    used = {real_path(path) for path in own}
    shown = given | places | ({"--log": Path(log)} if log is not None else {})
    for option, path in found.items():
        if path in read:
            raise _refusal(option, shown[option], "an input of this command", "choose another name")
        if path in used:
            raise _refusal(
                option, shown[option], "used by the command itself", "choose another name"
            )
    _check_apart(found, areas, shown)


def _check_apart(
    files: Mapping[str, Path], folders: Mapping[str, Path], shown: Mapping[str, Path]
) -> None:
    """Refuse two outputs with the same path, and an output inside an output file."""
    every = {**files, **folders}
    for option, path in files.items():
        for other, place in every.items():
            if other != option and (place == path or path in place.parents):
                got = f"also used by {other} ({shown_path(shown[other])})"
                raise _refusal(option, shown[option], got, "choose two different paths")


def real_path(path: str | Path) -> Path:
    """Return ``path`` with all links resolved, whether it exists or not.

    Raises:
        InputError: if it contains a null byte.
    """
    try:
        return Path(os.path.realpath(path))
    except ValueError:
        raise InputError("a path", f"{shown_path(path)}, with a null byte", "correct it") from None


def shown_path(path: str | Path) -> str:
    """Return ``path`` for a message: on one line, and shortened if it is too long."""
    text = str(path)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= SHOWN else f"{text[: SHOWN // 2]}...{text[-SHOWN // 2 :]}"


def target_of(path: str | Path, option: str = "the output") -> Path:
    """Return the regular file that ``path`` points to, or that will be created there.

    Raises:
        InputError: if the path is something else, or cannot be a file.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        status = None
    except (OSError, ValueError) as error:
        raise _unusable(option, path, error) from None
    if status is not None and not stat.S_ISREG(status.st_mode):
        kind = KINDS.get(stat.S_IFMT(status.st_mode), "not a regular file")
        fix = "give a file in it" if kind == "a folder" else "give a regular file"
        raise _refusal(option, path, kind, fix)
    if status is not None and _is_standard_output(status):
        raise _refusal(option, path, "the file of standard output or error", "choose another file")
    return real_path(path)


def _is_standard_output(status: os.stat_result) -> bool:
    """Tell whether a file is the standard output or error of this process, like /dev/stdout."""
    for descriptor in (1, 2):
        with suppress(OSError):
            if os.path.samestat(status, os.fstat(descriptor)):
                return True
    return False


def _checked_file(option: str, path: Path) -> Path:
    target = target_of(path, option)
    _check_place(option, path, target.parent, target.name)
    if target.exists() and not os.access(target, os.W_OK):
        raise _refusal(option, path, "a file without permission to write", REMEDY[errno.EACCES])
    return target


def _checked_log(path: Path) -> Path:
    with suppress(OSError, ValueError):
        if stat.S_ISCHR(os.stat(path).st_mode):
            return real_path(path)
        if _is_standard_output(os.stat(path)):
            return real_path(path)
    return _checked_file("--log", path)


def _checked_folder(option: str, path: Path) -> Path:
    try:
        if not stat.S_ISDIR(os.stat(path).st_mode):
            raise _refusal(option, path, "not a folder", "give a folder", "a folder to write into")
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise _unusable(option, path, error) from None
    target = real_path(path)
    _check_place(option, path, target, "")
    return target


def _check_place(option: str, path: Path, folder: Path, name: str) -> None:
    """Create a file in the nearest existing folder: permissions alone are not reliable."""
    missing = [name]
    try:
        while not folder.exists() and not folder.is_symlink():
            missing.append(folder.name)
            folder = folder.parent
        if any(len(os.fsencode(part)) > NAME_MAX for part in missing):
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        (folder.joinpath(*reversed(missing))).exists()  # the whole path may be too long as well
        # Without a name if the file system supports it, so that a kill leaves nothing behind.
        tempfile.TemporaryFile(dir=folder, prefix=".", suffix=".part").close()
    except (OSError, ValueError) as error:
        raise _unusable(option, path, error) from None


def _refusal(
    option: str, path: str | Path, got: str, fix: str, expected: str = "a file to write"
) -> InputError:
    return InputError(f"{expected} for {option}", f"{shown_path(path)}, {got}", fix)


def _unusable(option: str, path: str | Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or str(error)
    fix = REMEDY.get(getattr(error, "errno", None) or 0, "choose another path")
    expected = f"a writable path for {option}"
    return InputError(expected, f"{shown_path(path)}: {reason}", fix)


def part_beside(target: Path) -> Path:
    """Return a temporary name for ``target``, in the same folder so that it can be renamed."""
    # Only the beginning of the name: a long name would exceed the limit.
    return target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}.part")


@contextmanager
def part_of(target: Path, is_folder: bool = False) -> Iterator[Path]:
    """Create a file or folder to be moved to ``target``; remove it if it is still there at the end.

    Leftovers of killed processes are removed first. A kernel lock on each part tells whether its
    writer is running; if the file system has no locks, all parts stay.

    Args:
        target: in an existing folder.
        is_folder: create a folder, not a file.
    """
    _remove_dead_parts(target)
    part, descriptor = _new_part(target, is_folder)
    try:
        yield part
    finally:
        os.close(descriptor)
        with suppress(OSError):  # the folder may be what failed
            _remove(part)


def _new_part(target: Path, is_folder: bool) -> tuple[Path, int]:
    while True:
        part = part_beside(target)
        if is_folder:
            part.mkdir()
            descriptor = os.open(part, os.O_RDONLY)
        else:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        # Another process may have removed it as a leftover between our two steps.
        with suppress(FileNotFoundError):
            is_locked = try_lock(descriptor) is not False
            if is_locked and os.path.samestat(os.fstat(descriptor), os.stat(part)):
                return part, descriptor
        os.close(descriptor)


def try_lock(descriptor: int) -> bool | None:
    """Lock an open file or folder: False if another process has locked it, None without locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_part(path: Path, target: Path) -> bool:
    """Tell whether ``path`` is a name that `part_beside` returns."""
    name = rf"\.{re.escape(target.name[:40])}\.[0-9a-f]{{8}}\.part"
    return path.parent == target.parent and re.fullmatch(name, path.name) is not None


def _remove_dead_parts(target: Path) -> None:
    with suppress(OSError):
        for path in [each for each in target.parent.iterdir() if _is_part(each, target)]:
            with suppress(OSError):
                mode = os.O_RDONLY if path.is_dir() else os.O_RDWR
                descriptor = os.open(path, mode | os.O_NOFOLLOW)
                try:
                    if try_lock(descriptor):
                        _remove(path)
                finally:
                    os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def atomic_path(target: str | Path) -> Iterator[Path]:
    """Yield a temporary path in ``target``'s folder; move it into place only on success.

    It is in the same folder because a move across file systems is a copy, which can be interrupted.
    The mode of a new file is set by the umask; a file that is replaced keeps its mode.

    Raises:
        InputError: if ``target`` cannot be a regular file.
        OSError: naming ``target``, if it cannot be written.
    """
    final, written = target_of(target), 0
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with part_of(final) as part:
            try:
                yield part
                with part.open("rb") as stream:
                    os.fsync(stream.fileno())
                with suppress(FileNotFoundError):
                    part.chmod(stat.S_IMODE(final.stat().st_mode))
                part.replace(final)
            finally:
                written = _size(part)
        _sync_folder(final.parent)
    except OSError as error:
        named = error.filename is not None and not _is_part(Path(error.filename), final)
        if error.errno is None or named:
            raise
        raise _with_sizes(error, target, written) from error


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a power failure, if the file system supports that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _size(path: Path) -> int:
    """Return the size of a file in bytes; 0 if it is unknown."""
    with suppress(OSError):
        return path.stat().st_size
    return 0


def _with_sizes(error: OSError, target: str | Path, written: int) -> OSError:
    """Return ``error`` with the name of the target, the bytes written and the bytes free."""
    free = "unknown"
    with suppress(OSError):
        free = f"{shutil.disk_usage(Path(target).parent).free:,}"
    reason = error.strerror or os.strerror(error.errno or 0)
    return OSError(error.errno, f"{reason} after {written:,} bytes, {free} free", str(target))


def append_line(target: str | Path, line: str) -> None:
    """Append a line to ``target``; if that fails, the previous content is restored.

    Raises:
        OSError: naming ``target``, if it cannot be written.
    """
    path = Path(target)
    before = _size(path)
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
    except OSError as error:
        failure = _with_sizes(error, target, _size(path) - before)
        with suppress(OSError):
            os.truncate(path, before)
        raise failure from error


def sync(target: str | Path) -> None:
    """Flush what was appended to ``target`` to disk."""
    with Path(target).open("rb") as stream:
        os.fsync(stream.fileno())


def write_text(target: str | Path, text: str) -> None:
    """Write ``text`` to ``target`` in one step."""
    with atomic_path(target) as part:
        part.write_text(text, encoding="utf-8")


def write_json(target: str | Path, value: Any, indent: int | None = 2) -> None:
    """Write ``value`` as JSON to ``target`` in one step; NaN is refused, as it is not JSON."""
    write_text(target, json.dumps(value, indent=indent, allow_nan=False) + "\n")
