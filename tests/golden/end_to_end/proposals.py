"""Official proposals and RoIs of one training iteration, those without area included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from mmdet.structures import SampleList
from mmengine.structures import InstanceData
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from tests.golden.end_to_end.cases import Case, relative
from tests.golden.end_to_end.part import Part
from tests.golden.end_to_end.steps import build
from tests.golden.end_to_end.trajectory import LOSS

BOX = 1e-2  # pixels of the training image
SCORE = 1e-4


class Captured:
    """What the RPN proposes and what the first RoI head is given, of one training step."""

    def __init__(self, model: nn.Module) -> None:
        self.proposals: list[np.ndarray] = []
        self.rois: list[np.ndarray] = []
        self.positives: list[int] = []
        self._propose = model.rpn_head.loss_and_predict
        model.rpn_head.loss_and_predict = self._proposing
        extractor = model.roi_head.bbox_roi_extractor
        first = extractor[0] if isinstance(extractor, nn.ModuleList) else extractor
        first.register_forward_pre_hook(self._pooling)
        head = model.roi_head.bbox_head
        first_head = head[0] if isinstance(head, nn.ModuleList) else head
        self._targets = first_head.get_targets
        first_head.get_targets = self._sampled

    def _proposing(self, x: tuple[Tensor, ...], samples: SampleList, **kwargs):
        losses, results = self._propose(x, samples, **kwargs)
        for result in results:
            scored = torch.cat([result.bboxes, result.scores[:, None]], dim=1)
            self.proposals.append(scored.detach().numpy().copy())
        return losses, results

    def _pooling(self, module: nn.Module, inputs: tuple) -> None:
        rois = inputs[1].detach().numpy()
        if not self.rois:
            self.rois = [rois[rois[:, 0] == i, 1:] for i in range(len(self.proposals))]

    def _sampled(self, sampling_results: list, *args, **kwargs):
        self.positives = [len(result.pos_priors) for result in sampling_results]
        return self._targets(sampling_results, *args, **kwargs)


def compare_proposals(part: Part, case: Case, recorded: Path, work: Path) -> None:
    """Run the first recorded batch and compare proposals, RoIs and the number of positives.

    A record may be of other weights than the case beside it. Its trajectory tells: if our RoI
    losses of iteration 0 are the official ones, the official run had our proposals, and the
    record is not of that run.
    """
    official = _read(recorded)
    model, _ = build(case, work)
    captured = Captured(model)
    torch.manual_seed(0)
    losses = model._run_forward(model.data_preprocessor(case.batch(0), True), mode="loss")
    direct = Part(part.case, part.name)
    for i in range(_images(part, official)):
        _compare_boxes(
            direct, f"proposals of image {i}", captured.proposals[i], official[f"props{i}"]
        )
        if f"rois{i}" in official:
            _compare_boxes(direct, f"RoIs of image {i}", captured.rois[i], official[f"rois{i}"])
        if f"npos{i}" in official:
            count = int(official[f"npos{i}"][0])
            direct.equal(f"positives of image {i}", captured.positives[i], count)
    part.measured |= direct.measured
    error = _loss_error(model, losses, case)
    if direct.problems and error is not None and error <= LOSS:
        part.skipped = (
            f"the record is of other weights than {case.name}: with our proposals the losses of "
            f"its iteration 0, those of the RoIs included, agree to {error:.0e}"
        )
        return
    part.problems += direct.problems


def _read(recorded: Path) -> dict[str, np.ndarray]:
    with np.load(recorded) as archive:
        return dict(archive)


def _images(part: Part, official: dict[str, np.ndarray]) -> int:
    images = sum(name.startswith("props") for name in official)
    part.measured["images"] = images
    part.expect(images > 0, "no proposals recorded")
    return images


def _loss_error(model: nn.Module, losses: dict, case: Case) -> float | None:
    """Return the largest error of the recorded terms of iteration 0; None if not recorded."""
    if case.lacks("trajectory.json"):
        return None
    record = case.json("trajectory.json")[0]["losses"]
    logged = {name: float(value) for name, value in model.parse_losses(losses)[1].items()}
    if not record.keys() <= logged.keys() or not any("roi" in name for name in record):
        return None
    return max(relative(logged[name], value) for name, value in record.items())


def compare_samples(part: Part, case: Case, recorded: Path, work: Path) -> None:
    """Give the recorded proposals to our assigner and sampler; compare the RoIs in their order."""
    official = _read(recorded)
    model, _ = build(case, work)
    head = model.roi_head
    assigner, sampler = head.bbox_assigner, head.bbox_sampler
    if isinstance(assigner, list):
        assigner, sampler = assigner[0], sampler[0]
    for i in range(_images(part, official)):
        proposals = torch.from_numpy(official[f"props{i}"])
        truth = case.batch(0)["data_samples"][i].gt_instances
        truth = InstanceData(bboxes=truth.bboxes.tensor, labels=truth.labels)
        found = InstanceData(priors=proposals[:, :4])
        torch.manual_seed(0)
        sampled = sampler.sample(assigner.assign(found, truth), found, truth)
        ours, rois = sampled.priors.numpy(), official[f"rois{i}"]
        part.measured["RoIs"] = part.measured.get("RoIs", 0) + len(rois)
        part.equal(f"RoIs of image {i}: count", len(ours), len(rois))
        part.equal(f"positives of image {i}", len(sampled.pos_priors), int(official[f"npos{i}"][0]))
        if len(ours) == len(rois):
            error = float(np.abs(ours - rois).max())
            part.most("box px", error)
            part.expect(error <= 1e-3, f"RoIs of image {i} in order: off by {error:.3g} px")


def _compare_boxes(part: Part, what: str, ours: np.ndarray, official: np.ndarray) -> None:
    """Compare boxes [N, 4] or [N, 5 with score] as sets: equal scores have no order."""
    flat = [int(((b[:, 2] <= b[:, 0]) | (b[:, 3] <= b[:, 1])).sum()) for b in (ours, official)]
    part.measured["without area"] = part.measured.get("without area", 0) + flat[1]
    part.equal(f"{what}: count", len(ours), len(official))
    part.equal(f"{what}: boxes without area", *flat)
    box = np.abs(ours[:, None, :4] - official[None, :, :4]).max(axis=2)
    score = np.zeros_like(box)
    if official.shape[1] > 4:
        score = np.abs(ours[:, None, 4] - official[None, :, 4])
    good = (box <= BOX) & (score <= SCORE)
    rows, columns = linear_sum_assignment(~good)
    agreed = good[rows, columns]
    part.expect(
        agreed.sum() == len(official),
        f"{what}: {len(official) - agreed.sum()} of {len(official)} have no equal here",
    )
    if agreed.any():
        part.most("box px", float(box[rows, columns][agreed].max()))
        part.most("score", float(score[rows, columns][agreed].max()))
