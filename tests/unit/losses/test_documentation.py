"""The code in docs/use-in-your-detector.md runs, and the detector in it learns."""

import re
from pathlib import Path

import pytest
import torch

PAGE = Path(__file__).parents[3] / "docs/use-in-your-detector.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_detector_is_thirty_lines():
    assert len([line for line in BLOCKS[0].splitlines() if line.strip()]) <= 30


def test_the_detector_learns():
    torch.manual_seed(0)
    names = {}
    exec(compile(BLOCKS[0], str(PAGE), "exec"), names)
    positive = names["labels"] >= 0
    logits, boxes = names["out"][..., :3], names["boxes"]
    ranking, sorting, box = names["detector_losses"](
        logits, boxes, names["labels"], names["matched"]
    )
    own = logits[positive, names["labels"][positive]]
    assert own.mean() > logits[~positive].mean() + 0.5
    assert box.item() == pytest.approx((ranking + sorting).item())
    iou, _ = names["overlaps"](boxes[positive], names["matched"][positive])
    assert iou.mean() > 0.7


def test_the_check_holds():
    exec(compile(BLOCKS[1], str(PAGE), "exec"), {})
    assert len(BLOCKS) == 2


def test_the_links_lead_somewhere():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", PAGE.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []
