"""The contract between heads and loss steps, and the loop over ranking pools that joins them.

The official losses rank all places (anchors, points, RoIs) x classes of the images of one GPU
together. A head cuts its batch into such pools, a loss step turns each into loss terms:

    head.loss_by_feat -> pool_losses -> RankedPool of each pool -> LossStep -> mean over the pools
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from mmdet.registry import TASK_UTILS
from torch import Tensor

from rankdet.errors import InputError
from rankdet.losses import RankingPools, SelfBalance

Terms = tuple[Tensor, ...]
# A loss of `rankdet.losses`: a scalar or a tuple of scalars of flat logits, targets and others.
RankingLoss = Callable[..., Any]


@dataclass
class RankedPool:
    """What a loss step sees of one ranking pool: A places, C classes, P positives.

    Attributes:
        logits: (A, C).
        deltas: raw box predictions (A, 4), or (A, 4 C) if there is one box for each class.
        priors: anchors or RoIs (A, 4) xyxy.
        labels: class of each place, C = background (A).
        label_weights: 0 marks a place that is ignored (A).
        box_targets: boxes xyxy, or encoded as ``deltas`` are (A, 4).
        decode: boxes (P, 4) of priors (P, 4) and deltas (P, 4), in the frame in which the head
            measures them.
        targets_are_boxes: whether ``box_targets`` are boxes in that frame.
    """

    logits: Tensor
    deltas: Tensor
    priors: Tensor
    labels: Tensor
    label_weights: Tensor
    box_targets: Tensor
    decode: Callable[[Tensor, Tensor], Tensor]
    targets_are_boxes: bool

    @cached_property
    def positives(self) -> Tensor:
        """Indices of the positives (P), ascending; the first use waits for the device."""
        is_positive = (self.labels < self.logits.shape[1]) & (self.label_weights > 0)
        return is_positive.nonzero().squeeze(1)

    @cached_property
    def positive_labels(self) -> Tensor:
        """Classes of the positives (P)."""
        return self.labels[self.positives]

    @cached_property
    def positive_deltas(self) -> Tensor:
        """Deltas of the positives (P, 4), of their own class if there is one box for each."""
        chosen = self.deltas[self.positives]
        if chosen.shape[1] == 4:
            return chosen
        rows = torch.arange(len(chosen), device=chosen.device)
        return chosen.view(len(chosen), -1, 4)[rows, self.positive_labels]

    @cached_property
    def positive_scores(self) -> Tensor:
        """Highest score over all classes of each positive (P), detached.

        It weights the box and mask terms of Rank & Sort Loss (official code).
        """
        return self.logits[self.positives].detach().sigmoid().amax(1)

    @cached_property
    def boxes(self) -> Tensor:
        """Predicted boxes of the positives (P, 4), with gradient."""
        return self.decode(self.priors[self.positives], self.positive_deltas)

    @cached_property
    def true_boxes(self) -> Tensor:
        """Ground truth of the positives (P, 4)."""
        targets = self.box_targets[self.positives]
        return (
            targets if self.targets_are_boxes else self.decode(self.priors[self.positives], targets)
        )

    def ranking_targets(self, values: Tensor | None = None) -> Tensor:
        """Return (A, C): 0, in rows of ignored places -1, and at the class of each positive 1.

        Args:
            values: numbers in place of the ones (P).

        Returns:
            A float tensor, detached.
        """
        # An extra column takes the background, so that no indices of positives are needed here.
        targets = self.logits.new_zeros(len(self.labels), self.logits.shape[1] + 1)
        targets.scatter_(1, self.labels[:, None].clamp(max=self.logits.shape[1]), 1.0)
        targets = torch.where(self.label_weights[:, None] > 0, targets[:, :-1], -1.0)
        if values is not None:
            targets[self.positives, self.positive_labels] = values
        return targets

    def zero(self) -> Tensor:
        """Return a zero that is attached to both outputs, for a pool without positives."""
        return (self.logits.sum() + self.deltas.sum()) * 0


class LossStep(Protocol):
    """Turns a pool with at least one positive into loss terms; has settings but no state."""

    is_balanced: bool
    """Whether the head's `SelfBalance` weights the second term by the first."""

    def names(self, place: str) -> tuple[str, ...]:
        """Return the names of the terms in the log.

        Args:
            place: what precedes the name of a term: "", "rpn_" or "roi_".

        Returns:
            One name per term.
        """

    def __call__(self, pool: RankedPool, loss_cls: RankingLoss, loss_bbox: Any) -> Terms:
        """Compute the terms of a pool.

        Args:
            pool: its predictions and targets.
            loss_cls: the ranking loss of the head.
            loss_bbox: the head's box loss of mmdet; the step may read its settings.

        Returns:
            Scalars in the order of `names`.
        """


class Balance(Protocol):
    """`rankdet.losses.SelfBalance`, or a module that is called as it is."""

    def update(
        self, classification: Tensor, localization: Tensor, *, has_positives: bool | None
    ) -> Tensor:
        """Count a step of these unweighted values, and return the weight of the second."""


class RankedHead(Protocol):
    """What `pool_losses` needs from a head. `attach_step` sets the first three attributes."""

    loss_step: LossStep
    pool_images: int | None
    self_balance: Balance | None
    place: str

    def step_terms(self, pool: RankedPool) -> Terms:
        """Return the terms of a pool with positives: those of its step, or a multiple of them."""


def attach_step(
    head: RankedHead,
    loss_step: dict,
    pool_images: int | None,
    self_balance: dict | None,
    balance: Callable[..., Balance] = SelfBalance,
) -> None:
    """Build the loss step of a head, and its self-balance.

    The balance is a module of the head, so that it is saved with the model.

    Args:
        head: a built head of mmdet.
        loss_step: config of a `LossStep`.
        pool_images: images ranked together, as many as one GPU of the official run held. None
            takes the whole batch.
        self_balance: arguments of ``balance``; None where the step is not balanced.
        balance: makes the self-balance.

    Raises:
        InputError: if step and self-balance do not belong together, or if the head's
            ``loss_cls`` lacks ``use_sigmoid=True``.
    """
    if not getattr(head, "use_sigmoid_cls", True):
        raise InputError(
            "use_sigmoid=True in the loss_cls of a head with a ranking loss",
            "a loss_cls without it, for which mmdet adds an output for the background",
            "add use_sigmoid=True",
        )
    head.loss_step = TASK_UTILS.build(loss_step)
    head.pool_images = pool_images
    if head.loss_step.is_balanced != (self_balance is not None):
        raise InputError(
            "self_balance beside AlrpStep, and beside no other step",
            f"{loss_step['type']} with self_balance={self_balance}",
            "add self_balance=dict(period=iterations per epoch) to the head, or remove it",
        )
    head.self_balance = None if self_balance is None else balance(**self_balance)


@dataclass
class PoolLosses:
    """Losses of a batch.

    Attributes:
        losses: scalars by name, the means over the pools.
        pools: the ranking pools, in the order of their images.
        terms: the terms of each pool, in the order of the step's names.
    """

    losses: dict[str, Tensor]
    pools: list[RankedPool]
    terms: list[Terms]


def pool_losses(
    head: RankedHead, images: int, pool_of: Callable[[slice], RankedPool]
) -> PoolLosses:
    """Compute the losses of a batch pool by pool.

    Args:
        head: whose loss step computes the terms.
        images: size of the batch.
        pool_of: returns the pool of a slice of the images.

    Returns:
        Means over the pools, balanced if the step is. A pool without positives gives zeros that
        are attached to every output (the official code prints 1 there, or stops).
    """
    names = head.loss_step.names(head.place)
    pools: list[RankedPool] = []
    collected: list[Terms] = []

    def terms_of(part: slice) -> Terms:
        pool = pool_of(part)
        terms = head.step_terms(pool) if len(pool.positives) else (pool.zero(),) * len(names)
        pools.append(pool)
        collected.append(terms)
        return terms

    terms = RankingPools(head.pool_images).mean(images, terms_of)
    if head.self_balance is not None:
        # Steps without positives leave the balance alone.
        any_positive = any(len(pool.positives) for pool in pools)
        weight = head.self_balance.update(*terms, has_positives=any_positive)
        terms = (terms[0], terms[1] * weight)
    return PoolLosses(dict(zip(names, terms, strict=True)), pools, collected)
