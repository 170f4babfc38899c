"""PAA's ties: which differences from a recorded assignment are taken for rounding."""

from types import SimpleNamespace

import pytest
import torch

from tests.golden.heads.ties import Ties

CLASSES = 3


class Head:
    """One image, two levels of two anchors; anchors 0 and 1 compete for one object of class 1."""

    num_classes = CLASSES

    def __init__(self, likelihoods):
        self.likelihoods = torch.tensor(likelihoods)

    def level_targets(self):
        self.paa_reassign()
        labels = [torch.tensor([[1, CLASSES]]), torch.tensor([[CLASSES, CLASSES]])]
        return "anchors", labels, "weights", "boxes"

    def paa_reassign(self):
        assignment = torch.zeros(len(self.likelihoods), dtype=torch.long)
        self.gmm_separation_scheme(assignment, self.likelihoods, torch.tensor([0, 1]))

    def gmm_separation_scheme(self, assignment, scores, candidates):
        return None


def settled(likelihoods, recorded):
    head = Head(likelihoods)
    ties = Ties(head)
    _, labels, *_ = head.level_targets()
    outputs = {"reassigned_labels_img0": torch.tensor(recorded, dtype=torch.int16).numpy()}
    count = ties.settle(SimpleNamespace(outputs=outputs), labels)
    return count, torch.cat(head.level_targets()[1], 1)[0].tolist()


def test_a_tie_takes_the_recorded_assignment():
    recorded = [1, 1, CLASSES, CLASSES]
    assert settled([-1.0, -1.0 - 1e-6], recorded) == (1, recorded)


@pytest.mark.parametrize(
    ("likelihoods", "recorded"),
    [
        pytest.param([-1.0, -1.2], [1, 1, CLASSES, CLASSES], id="one is likelier"),
        pytest.param([-1.0, -1.0], [1, 1, 1, CLASSES], id="another anchor differs too"),
        pytest.param([-1.0, -1.0], [1, CLASSES, CLASSES, CLASSES], id="nothing differs"),
    ],
)
def test_every_other_assignment_stays_as_computed(likelihoods, recorded):
    assert settled(likelihoods, recorded) == (0, [1, CLASSES, CLASSES, CLASSES])
