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
CALIBRATION = """
from rankdet.evaluation import read_detections, read_ground_truth
from rankdet.evaluation.calibration import split
from rankdet.evaluation.calibrators import fit
boxes = [[10 * k, 0, 9, 9] for k in range(40)]
box = lambda k: dict(image_id=1, category_id=1, bbox=boxes[k], id=k + 1)
truths = [dict(box(k), area=81, iscrowd=0) for k in range(20)]
found = [dict(box(k), score=0.02 * k) for k in range(40)]
image, classes = dict(id=1, width=400, height=10), [dict(id=1, name="digit")]
truth = dict(images=[image], categories=classes, annotations=truths)
truth = read_ground_truth(truth, ("bbox",))
fitted = fit(split(truth, read_detections(found, truth), "bbox"), [1], ["digit"])
print(fitted.method, fitted.target)
"""
TORCHVISION = """
import torch
from torchvision.models.detection import retinanet_resnet50_fpn
from rankdet.adapters.torchvision import use_rank_sort
settings = dict(weights=None, weights_backbone=None, num_classes=3, min_size=64, max_size=64)
model = use_rank_sort(retinanet_resnet50_fpn(**settings))
target = dict(boxes=torch.tensor([[4.0, 4, 40, 40]]), labels=torch.tensor([1]))
losses = model([torch.rand(3, 64, 64)], [target])
sum(losses.values()).backward()
print(*sorted(losses), all(bool(loss > 0) for loss in losses.values()))
"""
TRANSFORMERS = """
import torch, transformers as hf
from rankdet.adapters.transformers import use_rank_sort
body = hf.RTDetrResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1] * 4,
                             layer_type="basic", out_features=["stage2", "stage3", "stage4"])
config = hf.RTDetrConfig(backbone_config=body, num_labels=2, encoder_hidden_dim=32, d_model=32,
                         encoder_in_channels=[16, 24, 32], encoder_ffn_dim=32, num_queries=9,
                         encoder_attention_heads=2, decoder_in_channels=[32] * 3, decoder_layers=2,
                         decoder_ffn_dim=32, decoder_attention_heads=2)
model = use_rank_sort(hf.RTDetrForObjectDetection(config)).train()
target = dict(class_labels=torch.tensor([1]), boxes=torch.tensor([[0.5, 0.5, 0.3, 0.4]]))
loss = model(pixel_values=torch.rand(1, 3, 64, 64), labels=[target]).loss
loss.backward()
print(bool(loss > 0))
"""
INSTALLED = "import importlib.metadata as m; print(*{d.name.lower() for d in m.distributions()})"
# They tell which extras are installed.
MARKS = {"msgspec", "scikit-learn", "torchvision", "transformers", "mmdet", "typer", "snakemake"}


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


def test_calibration(environment, wheel):
    assert install(environment, wheel, "[calibration]") == {"msgspec", "scikit-learn"}
    assert environment.python(CALIBRATION) == "isotonic iou"


def test_torchvision(environment, wheel):
    """With the torch that its release requires."""
    assert install(environment, wheel, "[torchvision]", pinned=False) == {"torchvision"}
    assert environment.python(TORCHVISION) == "bbox_regression classification True"


def test_transformers(environment, wheel):
    assert "transformers" in install(environment, wheel, "[transformers]")
    assert environment.python(TRANSFORMERS) == "True"


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
