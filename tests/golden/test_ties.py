"""PAA's ties: which differences from a recorded assignment are taken for rounding."""

from types import SimpleNamespace

import pytest
import torch

from rankdet.models.heads.paa import Mixtures
from tests.golden.heads.ties import in_ties, settle

C = 3  # classes, and the label of the background


class Head:
    """One image, two levels of two anchors; anchor 0 is positive."""

    def level_targets(self):
        labels = [torch.tensor([[1, C]]), torch.tensor([[C, C]])]
        return "anchors", labels, "weights", "boxes"


def settled(recorded, tied):
    head = Head()
    _, labels, *_ = head.level_targets()
    outputs = {"reassigned_labels_img0": torch.tensor(recorded, dtype=torch.int16).numpy()}
    count = settle(head, SimpleNamespace(outputs=outputs), labels, [tied])
    return count, torch.cat(head.level_targets()[1], 1)[0].tolist()


def test_a_tie_takes_the_recorded_assignment():
    assert settled([1, 1, C, C], {0, 1}) == (1, [1, 1, C, C])


@pytest.mark.parametrize(
    ("recorded", "tied"),
    [
        pytest.param([1, 1, C, C], set(), id="no tie"),
        pytest.param([1, 1, 1, C], {0, 1}, id="another anchor differs too"),
        pytest.param([1, C, C, C], {0, 1}, id="nothing differs"),
    ],
)
def test_every_other_assignment_stays_as_computed(recorded, tied):
    assert settled(recorded, tied) == (0, [1, C, C, C])


@pytest.mark.parametrize(
    ("owned", "likelihoods", "expected"),
    [
        ([True, True, False], [-1.0, -1.00001, -5.0], [0, 1]),
        ([True, True, False], [-1.0, -1.01, -5.0], []),
        ([True, True, True], [-1.0, -1.0, -1.0], []),
        ([True, False, False], [-1.0, -1.0, -5.0], []),
    ],
)
def test_a_tie_is_two_equally_likely_candidates(owned, likelihoods, expected):
    row = torch.ones(1, 3, dtype=torch.bool)
    fit = Mixtures(torch.arange(3)[None], row, torch.tensor([owned]), torch.tensor([likelihoods]))
    assert in_ties(fit).tolist() == expected
