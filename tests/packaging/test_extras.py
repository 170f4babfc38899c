"""Each extra alone, installed from the wheel into an empty environment: import and one call.

torch is the pinned one, the rest is what the package index has today. Those with torchvision take
gigabytes: one environment at a time, removed at the end.
"""

import shutil

import pytest

from tests.packaging.distributions import ROOT, Environment

pytestmark = pytest.mark.heavy

LOSS = """
import torch
from rankdet.losses import rank_sort_loss
logits = torch.zeros(250, requires_grad=True)
ranking, sorting = rank_sort_loss(logits, (torch.arange(250) < 50).float())
ranking.backward()
print(round(ranking.item(), 4), bool(logits.grad.any()))
"""
EVALUATION = """
from rankdet.evaluation import evaluate
box = [0, 0, 10, 10]
truth = dict(image_id=1, category_id=1, bbox=box, area=100, id=1)
found = dict(image_id=1, category_id=1, bbox=box, score=0.9)
classes = [dict(id=1, name="digit")]
truths = dict(images=[dict(id=1)], categories=classes, annotations=[truth])
numbers = evaluate(truths, [found], iou_type="bbox").numbers
print(round(numbers["AP"], 9), round(numbers["oLRP"], 9))
"""
INSTALLED = "import importlib.metadata as m; print(*{d.name.lower() for d in m.distributions()})"
# What no other extra brings.
MARKS = {"msgspec", "torchvision", "transformers", "mmdet", "typer", "snakemake"}


@pytest.fixture
def environment(tmp_path):
    if shutil.disk_usage(tmp_path).free < 12 * 2**30:
        pytest.skip("12 GiB of free disk are needed")
    with Environment(tmp_path / "environment") as made:
        yield made


def install(environment, wheel, extra, pinned=True):
    torch = ["-r", ROOT / "envs" / "torch-cpu.txt"] if pinned else []
    environment.pip("install", *torch, f"{wheel}{extra}")
    return MARKS & set(environment.python(INSTALLED).split())


def answer(environment, *arguments):
    done = environment.call("rankdet", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_losses_alone(environment, wheel):
    assert install(environment, wheel, "") == set()
    assert environment.python(LOSS) == "0.8 True"
    done = environment.call("rankdet", "list")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == (
        "rankdet: error: expected the package typer, which this command needs; got an installation "
        'without it; pip install "rankdet[pipeline]"\n'
    )


def test_evaluation(environment, wheel):
    assert install(environment, wheel, "[evaluation]") == {"msgspec"}
    assert environment.python(EVALUATION) == "1.0 0.0"


@pytest.mark.parametrize("extra", ["pipeline", "all"])
def test_the_pipeline(environment, wheel, extra):
    """The command lists the entries of the wheel, and one row takes its steps."""
    assert install(environment, wheel, f"[{extra}]") == MARKS - {"torchvision", "transformers"}
    assert environment.python(LOSS) == "0.8 True" and environment.python(EVALUATION) == "1.0 0.0"
    assert "rs_atss_r50" in answer(environment, "list")
    if extra == "all":
        return
    small = ("--train-images", "8", "--val-images", "4")
    answer(environment, "prepare", "digits", "--out", "digits", *small)
    out = ("--work-dir", "work", "--out", "results/checkpoint.pth")
    data = ("--preset", "smoke", "--data", "digits/dataset.json")
    answer(environment, "train", "rs_atss_r50", *data, *out)
    assert (environment.folder / "work" / "results" / "checkpoint.pth").exists()
