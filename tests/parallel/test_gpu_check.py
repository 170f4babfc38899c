"""`make gpu-check` on the CPU path: every part runs, and what needs a GPU says so."""

import csv

import pytest
import torch
from benchmarks.gpu.__main__ import PARTS, main


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpu")
    assert main(["--device", "cpu", "--quick", "--out", str(folder)]) == 0
    return folder


def rows(folder, part):
    with (folder / f"{part}.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_part_has_figures(report):
    page = (report / "README.md").read_text()
    for part, (title, *_) in PARTS.items():
        assert rows(report, part), part
        assert f"## {title}" in page
    assert f"torch: {torch.__version__}" in page


def test_what_a_cpu_cannot_tell_is_not_measured(report):
    assert {row["host waits"] for row in rows(report, "losses")} == {"not measured"}


def test_figures_are_of_this_run(report):
    found = rows(report, "goldens")
    assert [row["recorded"] for row in found] == ["losses", "heads"]
    assert all(0 < int(row["agree"]) == int(row["of"]) for row in found)
    assert all(float(row["row ms"]) > 0 < float(row["control ms"]) for row in rows(report, "steps"))
    assert {row["agree"] for row in rows(report, "pools")} == {"yes"}


def test_a_part_that_was_not_run_is_not_measured(tmp_path):
    assert main(["--device", "cpu", "--quick", "--out", str(tmp_path), "--parts", "pools"]) == 0
    page = (tmp_path / "README.md").read_text()
    assert "steps: not measured." in page


def test_a_part_that_stops_fails_the_check_and_the_others_go_on(tmp_path, monkeypatch):
    def stop(device, quick):
        raise RuntimeError("out of memory")
        yield

    monkeypatch.setitem(PARTS, "agreement", (*PARTS["agreement"][:1], stop, PARTS["agreement"][2]))
    arguments = ["--device", "cpu", "--quick", "--out", str(tmp_path)]
    assert main([*arguments, "--parts", "agreement", "pools"]) == 1
    assert "agreement failed: RuntimeError: out of memory" in (tmp_path / "README.md").read_text()
    assert rows(tmp_path, "pools")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(tmp_path, capsys):
    assert main(["--out", str(tmp_path)]) == 2
    assert "torch sees none" in capsys.readouterr().out
