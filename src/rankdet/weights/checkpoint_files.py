"""Read a PyTorch file of unknown origin: plain tensors and values, in bounded memory and time.

The file's own table of contents and description are checked before PyTorch reads it: what it would
take in memory is then at most a small multiple of its size on disk. Loading is weights-only.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from rankdet.errors import InputError, shown
from rankdet.outputs import atomic_path
from rankdet.weights.checkpoint_pickles import Plan, Refused, follow

MOST_DESCRIPTION = 1 << 26  # bytes; that of a training state of a large detector: a megabyte
MOST_MEMBERS = 1 << 18
# Tied weights are several tensors on the same numbers.
MOST_SHARED = 4
LEGACY_PICKLES = 5  # magic number, version, machine, content, order of the storages
# Where the weights stand in files of mmdetection, of timm and Swin, of plain scripts.
HOLDERS = ("state_dict", "model")
# Of ResNet, of Swin, of a detector with a ResNet.
FIRST_LAYERS = {"conv1.weight", "patch_embed.proj.weight", "backbone.conv1.weight"}
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
_END = struct.Struct("<4s4H2LH")  # of a zip archive: its last 22 bytes, if it has no comment
# mmcv's training state has NumPy numbers among its metadata; these builders make such a number
# and can do nothing else. NumPy 2 moved the first; files know it by its old name.
_SCALAR = type(np.float64(0)).__reduce__(np.float64(0))[0]
_NUMBERS: list[Any] = [
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    *{type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?")},
]


def read_checkpoint(path: str | Path) -> Any:
    """Return the content of a PyTorch file, with its tensors on the CPU.

    Each tensor is dense, real and of the shape that the file has numbers for; whether they are
    finite is told by `not_finite`. Tensors of a present-day file are mapped from the disk, and are
    read when they are used.

    Raises:
        InputError: if there is no such file, if it is damaged, needs code to be read, holds other
            than plain tensors and values, or would take far more memory than it has bytes.
    """
    path = Path(path)
    try:
        with _opened(path) as stream:
            is_zip = _check(stream)
        with torch.serialization.safe_globals(_NUMBERS):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except FileNotFoundError:
        raise InputError("a checkpoint", f"no file at {path}", "check the path") from None
    except Refused as error:
        reason = str(error)
    except Exception as error:  # torch raises many kinds for a damaged file
        reason = f"damaged content ({type(error).__name__}: {shown(str(error), 160)})"
    raise InputError(
        "a checkpoint of tensors",
        f"{path}, which holds {reason}",
        "it is never loaded another way; get a file that holds a state dict",
    )


def not_finite(tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """Return the names of the tensors with NaN or inf; takes no memory beside them."""
    broken = []
    for name, value in tensors.items():
        if value.is_floating_point() and value.numel():
            # NaN passes through both; a sum of large half-precision numbers would overflow.
            low, high = torch.aminmax(value.detach())
            if not (low.isfinite() and high.isfinite()):
                broken.append(name)
    return broken


def _opened(path: Path) -> BinaryIO:
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):  # a pipe would be waited for
        raise Refused("no data: it is a folder, a device or a pipe")
    return path.open("rb")


def _check(stream: BinaryIO) -> bool:
    """Check the file before it is loaded; tell whether it is a zip archive."""
    head = stream.read(4)
    size = stream.seek(0, io.SEEK_END)
    plan = Plan()
    if head == _ZIP:
        records = _check_archive(stream, size, plan)
        for storage in plan.storages.values():
            if records.get(f"data/{storage.key}") != storage.numel * storage.itemsize:
                raise Refused(f"damaged content (storage {storage.key} of another size)")
    elif head[:1] == _PICKLE:
        stream.seek(0)
        limited = io.BytesIO(stream.read(MOST_DESCRIPTION))
        for _ in range(LEGACY_PICKLES):
            follow(limited, plan)
        if sum(each.numel * each.itemsize for each in plan.storages.values()) > size:
            raise Refused("damaged content: storages that are larger than the file")
    else:
        raise Refused("damaged content: it begins like no file of PyTorch")
    needed = sum(view.bytes for view in plan.views)
    if needed > MOST_SHARED * size:
        raise Refused(f"tensors of {needed} bytes in a file of {size}")
    return head == _ZIP


def _check_archive(stream: BinaryIO, size: int, plan: Plan) -> dict[str, int]:
    """Check the archive as a whole; return the size of each record by its name in the archive."""
    try:
        with zipfile.ZipFile(stream) as archive:
            top, members = _members(stream, size, archive)
            description = members.get("data.pkl")
            if description is None or "constants.pkl" in members:
                raise Refused("no state dict: it is another kind of archive")
            if description.file_size > MOST_DESCRIPTION:
                raise Refused(f"a description of {description.file_size} bytes")
            follow(io.BytesIO(archive.read(f"{top}/data.pkl")), plan)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, struct.error) as error:
        raise Refused(f"a damaged archive ({error})") from None
    return {name: member.file_size for name, member in members.items()}


def _members(
    stream: BinaryIO, size: int, archive: zipfile.ZipFile
) -> tuple[str, dict[str, zipfile.ZipInfo]]:
    """Return the folder in the archive and its members, which lie one after the other in the file.

    PyTorch stores them as they are. Compressed or overlapping ones would unpack to more than the
    file has bytes; and a file that two programs read differently could not be checked at all.
    """
    stream.seek(max(0, size - _END.size))
    tail = stream.read()
    if len(tail) != _END.size or not tail.startswith(b"PK\x05\x06") or tail[-2:] != b"\0\0":
        raise Refused("a damaged archive (bytes behind its end)")
    found = archive.infolist()
    if not 0 < len(found) <= MOST_MEMBERS:
        raise Refused(f"an archive of {len(found)} records")
    top = found[0].filename.partition("/")[0]
    members, end = {}, 0
    for member in sorted(found, key=lambda each: each.header_offset):
        name = member.filename.removeprefix(f"{top}/")
        if name == member.filename or name.lower() in members:
            raise Refused(f"an archive with {shown(member.filename)} twice or out of its folder")
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise Refused(f"a compressed record ({shown(name)})")
        if member.flag_bits & 1:
            raise Refused(f"an encrypted record ({shown(name)})")
        if member.header_offset < end:
            raise Refused(f"overlapping records ({shown(name)})")
        end = _start(stream, member) + member.file_size
        members[name.lower()] = member
    if end > archive.start_dir:
        raise Refused("records that reach into the archive's table of contents")
    return top, members


def _start(stream: BinaryIO, member: zipfile.ZipInfo) -> int:
    """Return where a member's bytes begin: its own header says how long that is."""
    stream.seek(member.header_offset)
    header = stream.read(30)
    if len(header) < 30 or not header.startswith(_ZIP):
        raise Refused("a damaged archive (a record without its header)")
    return member.header_offset + 30 + sum(struct.unpack("<2H", header[26:30]))


def load_tensors(path: str | Path) -> dict[str, torch.Tensor]:
    """Return {name: tensor} of a checkpoint, read with weights-only loading.

    Raises:
        InputError: as `read_checkpoint`, or if the file holds no tensors by name, or NaN or inf.
    """
    return named_tensors(read_checkpoint(path), path)


def named_tensors(content: Any, path: str | Path) -> dict[str, torch.Tensor]:
    """Return {name: tensor} of a checkpoint's content, as `load_tensors` does."""
    for holder in HOLDERS:
        if isinstance(content, Mapping) and isinstance(content.get(holder), Mapping):
            content = content[holder]
            break
    if not isinstance(content, Mapping) or not content:
        raise InputError("a checkpoint of named tensors", f"{path} without any", "get another file")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise InputError(
                "a checkpoint of named tensors",
                f"{path} with {shown(name)}: {type(value).__name__}",
                "get a file that holds a state dict",
            )
    if broken := not_finite(content):
        raise InputError("finite weights", f"NaN or inf in {broken[0]} of {path}", "get it again")
    return dict(content)


def check_backbone(path: Path) -> None:
    """Check that a file holds the weights of a backbone or of a detector, all finite.

    Raises:
        InputError: if it does not.
    """
    tensors = load_tensors(path)
    if not FIRST_LAYERS & tensors.keys():
        raise InputError(
            f"a backbone or detector, with one of {', '.join(sorted(FIRST_LAYERS))}",
            f"{path} with {', '.join(list(tensors)[:3])}, ...",
            "get the file that configs/downloads.csv names",
        )


def write_weights(state: Mapping[str, torch.Tensor], target: str | Path, meta: dict) -> None:
    """Write {"state_dict", "meta"} to ``target`` in one step, after reading it back."""
    with atomic_path(target) as part:
        # To a stream: with a path, torch.save does not report a full disk.
        with part.open("wb") as stream:
            torch.save({"state_dict": OrderedDict(state), "meta": meta}, stream)
        torch.load(part, map_location="cpu", weights_only=True)
