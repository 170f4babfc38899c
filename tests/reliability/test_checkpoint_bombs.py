"""Small checkpoints that would take unbounded memory or time, and weights that are no real numbers.

Each is read in a process of its own that has 256 MB and some seconds (`bounded`).
"""

import collections
import io
import os
import pickle
import struct
import zipfile

import pytest
import torch

from rankdet.weights.checkpoint_files import load_tensors, read_checkpoint
from tests.reliability import bounded

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001  # of the format before the zip archives


class Stored:
    """A storage as a file names it."""

    def __init__(self, numel, *old_format):
        self.pid = ("storage", torch.FloatStorage, "0", "cpu", numel, *old_format)


class Call:
    """Pickled as a call of ``function``."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        return value.pid if isinstance(value, Stored) else None


def tensor(numel, size, stride, offset=0, old_format=()):
    arguments = (offset, size, stride, False, collections.OrderedDict())
    return Call(torch._utils._rebuild_tensor_v2, Stored(numel, *old_format), *arguments)


def pickled(value):
    out = io.BytesIO()
    Pickler(out, 2).dump(value)
    return out.getvalue()


def archive(path, description, data=bytes(16), change=lambda out: None, **options):
    with zipfile.ZipFile(path, "w", **options) as out:
        out.writestr("archive/data.pkl", description)
        out.writestr("archive/byteorder", "little")
        out.writestr("archive/data/0", data)
        out.writestr("archive/version", "3\n")
        change(out)  # of the table of contents, which is written last


def weights(path, value, data=bytes(16), **options):
    archive(path, pickled({"state_dict": {"a": value}}), data, **options)


def legacy(path, value, data=b""):
    parts = (MAGIC, VERSION, {"little_endian": True}, value, ["0"])
    path.write_bytes(b"".join(map(pickled, parts)) + struct.pack("<q", len(data) // 4) + data)


def steps(*parts, end=b"."):
    return b"\x80\x02" + b"".join(parts) + end


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def encoded_again_and_again():
    """40 times twice as long: the function is value 0 of the memo, the text value 1."""
    again = b"h\x00h\x01" + text("hex_codec") + b"\x86Rq\x01"
    begin = b"c_codecs\nencode\nq\x00" + text("a") + text("latin1") + b"\x86Rq\x01"
    return steps(begin, again * 40)


def twice_in_the_file(out):
    for number in range(2000):
        again = zipfile.ZipInfo(f"archive/data/{number + 1}")
        first = out.getinfo("archive/data/0")
        for name in ("header_offset", "file_size", "compress_size", "CRC"):
            setattr(again, name, getattr(first, name))
        out.filelist.append(again)


def larger_than_the_file(out):
    record = out.getinfo("archive/data/0")
    record.file_size = record.compress_size = 10**11


def second_description(out):
    out.writestr("archive/DATA.pkl", steps(b"}"))


def elsewhere(out):
    out.writestr("other/data.pkl", steps(b"}"))


def many_views(path):
    """10 000 tensors of 8 MB, each on the same 8 MB but for a few numbers."""
    content = io.BytesIO()
    pickler = Pickler(content, 2)
    storage = Stored(2 << 20)
    build = torch._utils._rebuild_tensor_v2
    pickler.dump(
        {str(k): Call(build, storage, k, ((2 << 20) - k,), (1,), False, {}) for k in range(10_000)}
    )
    archive(path, content.getvalue(), bytes(8 << 20))


def numpy_void(path):
    import numpy as np

    scalar = type(np.float64(0)).__reduce__(np.float64(0))[0]
    kind = Call(np.dtype, "V2000000000", False, True)
    archive(path, pickled({"meta": Call(scalar, kind, b"")}))


def torch_saved(path, value):
    torch.save({"state_dict": {"a": value}}, path)


BILLION = 10**9
# The file, and what the message must say.
BOMBS = {
    "stride 0": (lambda p: weights(p, tensor(4, (BILLION, 25), (0, 0))), "elements overlap"),
    "stride 0 in one dimension": (lambda p: weights(p, tensor(4, (9, 4), (0, 1))), "overlap"),
    "windows that overlap": (lambda p: weights(p, tensor(4, (3, 2), (1, 1))), "overlap"),
    "windows across": (lambda p: weights(p, tensor(4, (2, 2), (1, 1), 1)), "overlap"),
    "beyond its storage": (lambda p: weights(p, tensor(4, (BILLION,), (1,))), "of 4 numbers"),
    "behind its storage": (lambda p: weights(p, tensor(4, (4,), (1,), 1)), "of 4 numbers"),
    "before its storage": (lambda p: weights(p, tensor(4, (2,), (1,), -1)), "a tensor of shape"),
    "negative shape": (lambda p: weights(p, tensor(4, (-4,), (1,))), "a tensor of shape"),
    "storage beyond its record": (
        lambda p: weights(p, tensor(BILLION, (BILLION,), (1,))),
        "storage 0 of another size",
    ),
    "storage with the next record's bytes": (
        lambda p: weights(p, tensor(5, (5,), (1,))),
        "storage 0 of another size",
    ),
    "shape and strides": (lambda p: weights(p, tensor(4, (4,), (1, 1))), "with strides"),
    "many views": (many_views, "tensors of 8"),
    "bytearray": (lambda p: weights(p, Call(bytearray, 10**11)), "bytearray"),
    "encoded again": (lambda p: archive(p, encoded_again_and_again()), "other than latin1"),
    "encoded otherwise": (
        lambda p: archive(p, steps(b"c_codecs\nencode\n", text("a"), text("utf-32"), b"\x86R")),
        "other than latin1",
    ),
    "tensor from a size": (lambda p: weights(p, Call(torch.Tensor, 10**11)), "torch.Tensor"),
    "storage from a size": (
        lambda p: weights(p, Call(torch.FloatStorage, 10**11)),
        "no function of PyTorch",
    ),
    "NumPy value without content": (numpy_void, "NumPy type that is no number"),
    "compressed": (
        lambda p: weights(
            p, tensor(1 << 24, (1 << 24,), (1,)), bytes(1 << 26), compression=zipfile.ZIP_DEFLATED
        ),
        "a compressed record",
    ),
    "records on top of each other": (
        lambda p: weights(p, tensor(4, (4,), (1,)), change=twice_in_the_file),
        "overlapping records",
    ),
    "a record larger than the file": (
        lambda p: weights(p, tensor(4, (4,), (1,)), change=larger_than_the_file),
        "overlapping records",
    ),
    "two descriptions": (
        lambda p: weights(p, tensor(4, (4,), (1,)), change=second_description),
        "twice or out of its folder",
    ),
    "a second folder": (
        lambda p: weights(p, tensor(4, (4,), (1,)), change=elsewhere),
        "twice or out of its folder",
    ),
    "a huge description": (lambda p: archive(p, bytes(1 << 27)), "a description of 134217728"),
    "a description without end": (
        lambda p: archive(p, steps(b"N" * 3_000_000)),
        "more than 2000000 steps",
    ),
    "a huge memo index": (
        lambda p: archive(p, steps(b"}r\xff\xff\xff\x7f", b"j\xfe\xff\xff\x7f")),
        "damaged description",
    ),
    "text of a huge length": (lambda p: archive(p, steps(b"X\xff\xff\xff\xff")), "damaged"),
    "bytes behind the end": (
        lambda p: (torch_saved(p, torch.ones(2)), p.write_bytes(p.read_bytes() + b"PK")),
        "bytes behind its end",
    ),
    "zeros behind the end": (
        lambda p: (torch_saved(p, torch.ones(2)), p.write_bytes(p.read_bytes() + bytes(2))),
        "bytes behind its end",
    ),
    "old format, huge storage": (
        lambda p: legacy(p, {"a": tensor(10**11, (10**11,), (1,))}),
        "larger than the file",
    ),
    "old format, stride 0": (
        lambda p: legacy(p, {"a": tensor(4, (BILLION, 25), (0, 0))}, bytes(16)),
        "elements overlap",
    ),
    "old format, bytearray": (lambda p: legacy(p, {"a": Call(bytearray, 10**11)}), "bytearray"),
    "complex": (lambda p: torch_saved(p, torch.ones(2, dtype=torch.complex64)), "complex numbers"),
    "a complex number": (lambda p: archive(p, pickled({"a": 1j})), "complex numbers"),
    "sparse": (lambda p: torch_saved(p, torch.eye(3).to_sparse()), "_rebuild_sparse_tensor"),
    "without numbers": (
        lambda p: torch_saved(p, torch.ones(10**6, device="meta")),
        "_rebuild_meta",
    ),
    "expanded when it was saved": (
        lambda p: torch_saved(p, torch.ones(1).expand(1000)),
        "elements overlap",
    ),
    "NaN": (lambda p: torch_saved(p, torch.tensor([1.0, float("nan")])), "NaN or inf in a"),
    "positive inf": (lambda p: torch_saved(p, torch.tensor([1.0, float("inf")])), "inf in a"),
    "negative inf": (
        lambda p: torch_saved(p, torch.tensor([1.0, float("-inf")])),
        "NaN or inf in a",
    ),
    "NaN in half precision": (
        lambda p: torch_saved(p, torch.tensor([1.0, float("nan")]).half()),
        "NaN or inf in a",
    ),
    "a folder": (lambda p: p.mkdir(), "a folder"),
    "a pipe": (lambda p: os.mkfifo(p), "a pipe"),
}


@pytest.mark.parametrize("case", BOMBS)
def test_a_bomb_is_refused_in_little_memory_and_time(tmp_path, case):
    write, message = BOMBS[case]
    path = tmp_path / "model.pth"
    write(path)
    kind, said = bounded.call(load_tensors, path)
    assert kind == "InputError", said
    assert message in said and str(path) in said and "\n" not in said


def tied(path):
    weight = torch.ones(1000)
    torch.save({"a": weight, "b": weight, "c": weight[:500], "d": weight.view(10, 100).t()}, path)


def channels_last(path):
    weight = torch.ones(2, 3, 4, 4).to(memory_format=torch.channels_last)
    torch.save(
        {"a": weight, "b": torch.ones(0, 3), "c": torch.tensor(3), "d": weight[:, 1:2]}, path
    )


def large_in_half(path):
    torch.save({"a": torch.full((1000,), 65504.0).half(), "b": torch.ones(5).bfloat16()}, path)


def parameters(path):
    torch.save(dict(torch.nn.Linear(3, 2).named_parameters()), path)


def deep(path):
    """200 000 lists in each other, beside the weights."""
    plain = pickled({"state_dict": {"a": tensor(4, (4,), (1,))}})
    nested = text("meta") + b"]" * 200_000 + b"a" * 199_999 + b"s"
    archive(path, plain[:-1] + nested + b".")


GOOD = {
    "tied and transposed": tied,
    "channels last, empty, one number": channels_last,
    "large numbers in half precision": large_in_half,
    "parameters": parameters,
    "deep metadata": deep,
    "old format": lambda p: torch.save(
        {"a": torch.ones(9)}, p, _use_new_zipfile_serialization=False
    ),
    "old format by hand": lambda p: legacy(
        p, {"a": tensor(4, (4,), (1,), old_format=(None,))}, bytes(16)
    ),
    "by hand": lambda p: weights(p, tensor(4, (2, 2), (2, 1))),
}


@pytest.mark.parametrize("case", GOOD)
def test_what_is_no_bomb_is_read(tmp_path, case):
    path = tmp_path / "model.pth"
    GOOD[case](path)
    kind, said = bounded.call(load_tensors, path)
    assert kind == "returned", said
    if case != "deep metadata":  # without our checks the same comes out
        plain = torch.load(path, weights_only=True)
        found = read_checkpoint(path)
        plain, found = (each.get("state_dict", each) for each in (plain, found))
        assert plain.keys() == found.keys()
        assert all(torch.equal(plain[name], found[name]) for name in plain)


def test_the_bound_ends_what_is_not_refused(tmp_path):
    """PyTorch alone follows the file into the memory's end, or reads all of a tensor."""
    path = tmp_path / "model.pth"
    BOMBS["encoded again"][0](path)
    assert bounded.call(torch.load, path)[0] in ("MemoryError", "killed")
    BOMBS["bytearray"][0](path)
    assert bounded.call(torch.load, path)[0] in ("MemoryError", "killed")
    assert bounded.call(print)[0] == "returned"


def test_a_training_state_is_read_in_a_moment(tmp_path):
    """Of a large model with its optimizer: far below the bounds of the description."""
    model = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(400))
    optimizer = torch.optim.AdamW(model.parameters())
    sum(parameter.sum() for parameter in model.parameters()).backward()
    optimizer.step()
    state = {"state_dict": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save({**state, "meta": {"iter": 3}}, tmp_path / "model.pth")
    kind, said = bounded.call(load_tensors, tmp_path / "model.pth", seconds=10)
    assert kind == "returned", said
