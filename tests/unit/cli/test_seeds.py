"""``--seeds 0,1,2`` of train and predict: one run per seed, each in folders of its own."""

import sys
from pathlib import Path

import pytest
import typer

from rankdet.cli.seeds import arguments_of, parse, run_each
from rankdet.errors import InputError


def test_the_list():
    assert parse("0, 2,1") == [0, 2, 1]


@pytest.mark.parametrize("text", ["", "1,", "a", "1,1", "01,1", "-1", "4294967296", "1.0", "²"])
def test_a_wrong_list_is_refused(text):
    with pytest.raises(InputError, match="--seeds as different numbers from 0 to 4294967295"):
        parse(text)


PATHS = {"--out": Path("r/demo/x/checkpoint.pth"), "--work-dir": Path("w/demo/x")}


@pytest.mark.parametrize(
    "given",
    [
        ["train", "x", "--preset", "demo", "--seeds", "0,1", "--resume"],
        ["train", "x", "--seeds=0,1", "--preset", "demo", "--out", "other", "--resume"],
        [
            "train",
            "x",
            "--preset",
            "demo",
            "--seed",
            "9",
            "--work-dir=w",
            "--seeds",
            "1",
            "--resume",
        ],
    ],
)
def test_each_run_has_its_own_folders(given):
    found = arguments_of(given, 1, PATHS, "--seed")
    assert found == [
        *("train", "x", "--preset", "demo", "--resume"),
        *("--out", "r/demo/x/seed-1/checkpoint.pth", "--work-dir", "w/demo/x/seed-1"),
        *("--seed", "1"),
    ]


def test_a_prediction_has_no_option_for_the_seed():
    found = arguments_of(["predict", "x", "--seeds", "1"], 1, {"--out": Path("a/d.json")})
    assert found == ["predict", "x", "--out", "a/seed-1/d.json"]


def test_the_first_failure_ends_it_with_its_exit_code(monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", ["rankdet", "show", "nosuch_entry", "--seeds", "3,4"])
    with pytest.raises(typer.Exit) as caught:
        run_each("3,4", {})
    assert caught.value.exit_code == 2
    assert capfd.readouterr().err.count("nosuch_entry") == 1


def test_each_seed_is_run(monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", ["rankdet", "show", "rs_atss_r50", "--seeds", "3,4"])
    run_each("3,4", {})
    assert capfd.readouterr().out.count("Rank & Sort Loss (ICCV 2021)") == 2
