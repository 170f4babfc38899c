"""Ten files that would run code when unpickled: none is executed, each is refused."""

import collections
import io
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch

from rankdet.errors import InputError
from rankdet.weights.checkpoint_files import check_backbone, load_tensors


class Runs:
    """Unpickling one calls `os.system`."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


class RunsEval(Runs):
    def __reduce__(self):
        return eval, (f"__import__('os').system({self.command!r})",)


def legacy_tar(path, value):
    """PyTorch 0.1: a tar archive with pickles in it."""
    with tarfile.open(path, "w") as out:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            content = pickle.dumps(value, protocol=2)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))


def zipped(path, value):
    """The present format, written by hand."""
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("archive/data.pkl", pickle.dumps(value, protocol=2))
        out.writestr("archive/version", "3\n")


def saved(path, value):
    torch.save(value, path)


def saved_old(path, value):
    torch.save(value, path, _use_new_zipfile_serialization=False)


def pickled(path, value):
    path.write_bytes(pickle.dumps(value, protocol=2))


HOSTILE = {
    "bare": (saved, lambda c: Runs(c)),
    "beside the weights": (saved, lambda c: {"state_dict": {"a": torch.ones(1)}, "meta": Runs(c)}),
    "as a weight": (saved, lambda c: {"state_dict": {"a": Runs(c)}}),
    "as a name": (saved, lambda c: {"state_dict": [(Runs(c), 1)]}),
    "nested in lists": (saved, lambda c: {"state_dict": {}, "optimizer": [[[Runs(c)]]]}),
    "in an ordered dict": (saved, lambda c: collections.OrderedDict(a=Runs(c))),
    "eval": (saved, lambda c: {"state_dict": {"a": RunsEval(c)}}),
    "old format": (saved_old, lambda c: {"state_dict": {"a": Runs(c)}}),
    "plain pickle": (pickled, lambda c: {"state_dict": {"a": Runs(c)}}),
    "legacy tar": (legacy_tar, lambda c: Runs(c)),
    "zip by hand": (zipped, lambda c: {"state_dict": Runs(c)}),
    "in a NumPy array": (saved, lambda c: {"meta": np.array([Runs(c)], dtype=object)}),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_nothing_is_executed(tmp_path, case):
    save, make = HOSTILE[case]
    mark = tmp_path / "executed"
    path = tmp_path / "model.pth"
    save(path, make(f"touch {mark}"))
    with pytest.raises(InputError, match="never loaded another way"):
        load_tensors(path)
    assert not mark.exists()


def test_the_cases_would_run_in_an_unsafe_loader(tmp_path):
    mark = tmp_path / "executed"
    torch.save({"state_dict": {"a": Runs(f"touch {mark}")}}, tmp_path / "model.pth")
    torch.load(tmp_path / "model.pth", weights_only=False)
    assert mark.exists()


@pytest.mark.parametrize("save", [saved, saved_old])
def test_what_mmcv_wrote_is_read(tmp_path, save):
    weights = collections.OrderedDict(a=torch.arange(3.0), b=torch.tensor(1))
    weights._metadata = {"": {"version": 1}}
    best = np.float64(0.375)
    meta = {"mmdet_version": "2.3.0", "epoch": 12, "CLASSES": ("person",), "hook_msgs": {"b": best}}
    save(tmp_path / "a.pth", {"meta": meta, "state_dict": weights, "optimizer": {"state": {}}})
    found = load_tensors(tmp_path / "a.pth")
    assert list(found) == ["a", "b"] and torch.equal(found["a"], weights["a"])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "without any"),
        ([torch.ones(1)], "without any"),
        ({"a": 3}, "'a': int"),
        ({"state_dict": {"a": torch.ones(1), "b": "text"}}, "'b': str"),
    ],
)
def test_files_without_named_tensors(tmp_path, value, message):
    torch.save(value, tmp_path / "a.pth")
    with pytest.raises(InputError, match=message):
        load_tensors(tmp_path / "a.pth")


def test_missing_and_torn_files(tmp_path):
    with pytest.raises(InputError, match="no file at"):
        load_tensors(tmp_path / "a.pth")
    torch.save({"a": torch.ones(1000)}, tmp_path / "a.pth")
    content = (tmp_path / "a.pth").read_bytes()
    for end in range(0, len(content), len(content) // 12):
        (tmp_path / "a.pth").write_bytes(content[:end])
        with pytest.raises(InputError, match="damaged"):
            load_tensors(tmp_path / "a.pth")


def test_a_backbone_is_recognised(tmp_path):
    path = tmp_path / "a.pth"
    torch.save({"conv1.weight": torch.ones(2), "fc.weight": torch.ones(2)}, path)
    check_backbone(path)
    torch.save({"layer1.conv1.weight": torch.ones(2)}, path)
    with pytest.raises(InputError, match=r"conv1\.weight"):
        check_backbone(path)
    torch.save({"conv1.weight": torch.tensor([1.0, float("nan")])}, path)
    with pytest.raises(InputError, match=r"NaN or inf in conv1\.weight"):
        check_backbone(path)
