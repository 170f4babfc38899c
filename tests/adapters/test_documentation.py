"""The adapters' code in docs/use-in-your-detector.md runs, with the package that it is for."""

import re
from pathlib import Path

import pytest
import torch

PAGE = Path(__file__).parents[2] / "docs/use-in-your-detector.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("package", ["torchvision", "transformers"])
def test_the_page(package):
    pytest.importorskip(package, reason=f"needs {package}: pip install 'rankdet[{package}]'")
    (block,) = [each for each in BLOCKS if f"rankdet.adapters.{package}" in each]
    names = {}
    torch.manual_seed(0)
    exec(compile(block, str(PAGE), "exec"), names)
    trained = [each for each in names["model"].parameters() if each.requires_grad]
    assert all(each.grad is not None and each.grad.isfinite().all() for each in trained)
    found = names["losses"] if package == "torchvision" else names["output"].loss_dict
    assert sum(each.item() for each in found.values()) > 0
    # Rank & Sort: the box terms have the value of the class term.
    keys = ("classification", "bbox_regression") if package == "torchvision" else ("loss_vfl",)
    values = [found[key] for key in keys]
    if package == "transformers":
        values.append(found["loss_bbox"] + found["loss_giou"])
    torch.testing.assert_close(*values)
