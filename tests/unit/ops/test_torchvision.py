"""torchvision's kernels compute what the plain operators compute, which are compared with mmcv."""

from types import SimpleNamespace

import pytest
import torch

from rankdet.ops import nms, roi_align
from rankdet.ops.extension import functions_of
from tests.unit.ops.conftest import backends
from tests.unit.ops.test_nms import SETS, assert_same, problems
from tests.unit.ops.test_roi_align import SHAPE, both_ways, rois_of

pytestmark = pytest.mark.skipif(
    "torchvision" not in backends(), reason="torchvision for this torch is not installed"
)


@pytest.fixture
def torchvision():
    return SimpleNamespace(**functions_of("torchvision"))


def test_ten_thousand_sets_of_boxes(torchvision):
    for problem in problems(SETS):
        _, *arguments = problem
        assert_same(nms.nms(*arguments).tolist(), torchvision.nms(*arguments).tolist(), problem)


def test_large_sets_of_boxes(torchvision):
    for problem in problems(200, largest=2000):
        _, *arguments = problem
        assert_same(nms.nms(*arguments).tolist(), torchvision.nms(*arguments).tolist(), problem)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 2])
def test_values_and_gradients_of_roi_align(torchvision, sampling_ratio, aligned):
    generator = torch.Generator().manual_seed(sampling_ratio)
    for scale in (1.0, 0.25, 1 / 3):
        features = torch.randn(SHAPE, generator=generator, dtype=torch.float64)
        rois = rois_of(60, scale, generator, torch.float64)
        grads = torch.randn(60, SHAPE[1], 4, 3, generator=generator, dtype=torch.float64)
        settings = dict(
            aligned_height=4, aligned_width=3, spatial_scale=scale,
            sampling_ratio=sampling_ratio, pool_mode=1, aligned=aligned,
        )  # fmt: skip
        found = both_ways(torchvision, features, rois, grads, **settings)
        wanted = both_ways(roi_align, features, rois, grads, **settings)
        torch.testing.assert_close(found[0], wanted[0])
        torch.testing.assert_close(found[3], wanted[3])


def test_what_it_has_not_is_plain(torchvision):
    plain = functions_of("plain")
    theirs = {name for name in plain if getattr(torchvision, name) is not plain[name]}
    wrapped = {name for name in theirs if plain[name].__wrapped__
               is not getattr(torchvision, name).__wrapped__}  # fmt: skip
    assert wrapped == {"nms", "roi_align_forward", "roi_align_backward"}
