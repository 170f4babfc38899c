"""AP Loss (Chen et al., Towards Accurate One-Stage Object Detection with AP-Loss, CVPR 2019)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rankdet.losses._checks import check_delta, check_inputs, read_values
from rankdet.losses._ranking import (
    ErrorDriven,
    LossModule,
    LossOperator,
    Ranking,
    Update,
    error_driven_loss,
    one_value,
)


def _rule(ranking: Ranking) -> Update:
    """With 1 - precision_i = FP_i / rank_i, interpolation is a running minimum from the low end.

    So the loss is the mean of that minimum m_i, and c_i = m_i / FP_i covers both published cases:
    1 / rank_i where i itself has the minimum, (1 - M_i) / ((1 - precision_i) rank_i) elsewhere.
    """
    false_positives = ranking.false_positives
    (positives_above,) = ranking.positives_above(torch.ones_like(ranking.logits))
    rank = positives_above + 0.5 + false_positives  # the own term is 1/2; rank counts it as 1
    missed = torch.cummin(false_positives / rank, 0).values
    coefficients = torch.where(false_positives > 0, missed / false_positives, 0.0)
    return Update((missed.sum(),), (-missed,), coefficients)


def _prepare(logits: Tensor, targets: Tensor, delta: float) -> tuple[Any, ...]:
    return logits, targets, read_values(logits, targets, delta), delta, _rule, 1


_OPERATOR = LossOperator(
    "ap_loss", "Tensor logits, Tensor targets, float delta", ErrorDriven, _prepare, one_value
)


def ap_loss(logits: Tensor, targets: Tensor, *, delta: float = 1.0) -> Tensor:
    """AP Loss: 1 - AP of the ranking, with interpolated precision; exact, O((P + N) log P).

    Args:
        logits: raw scores before the sigmoid [n]: all anchors x classes of all images together.
        targets: > 0 positive, 0 negative, -1 ignored [n].
        delta: half width of the window that softens "ranked above", in logits; eq. 8 of the paper.

    Returns:
        Scalar in [0, 1]; float64 for float64 logits, else float32. Its gradient is the paper's
        error-driven update, not the derivative of the value: what the positives are pulled up in
        all, the negatives are pushed down. Without positives: 0, with a gradient of zeros.

    Raises:
        InputError: (a ValueError) wrong shape, dtype or device, NaN or infinite logits, targets
            out of range, or logits that require no grad while gradients are recorded.

    Example:
        >>> import torch
        >>> from rankdet.losses import ap_loss
        >>> logits = torch.tensor([2.0, 1.5, 0.5, -3.0], requires_grad=True)
        >>> loss = ap_loss(logits, torch.tensor([1, 0, 1, -1]))
        >>> loss.backward()
        >>> round(loss.item(), 4), [round(each, 4) for each in logits.grad.tolist()]
        (0.2667, [-0.1, 0.2667, -0.1667, 0.0])
    """
    check_inputs(logits, targets)
    delta = check_delta(delta)
    if torch.compiler.is_compiling():
        return _OPERATOR(logits, targets, delta)[0]
    return error_driven_loss(*_prepare(logits, targets, delta))[0]


class ApLoss(LossModule):
    """AP Loss with fixed settings; see :func:`rankdet.losses.ap_loss`.

    Args:
        delta: as in the function.

    Raises:
        InputError: for a delta that is no finite number > 0.

    Example:
        >>> import torch
        >>> from rankdet.losses import ApLoss
        >>> loss = ApLoss(delta=0.5)
        >>> loss
        ApLoss(delta=0.5)
        >>> logits = torch.tensor([2.0, 1.5, 0.5], requires_grad=True)
        >>> round(loss(logits, torch.tensor([1, 0, 1])).item(), 4)
        0.1667
    """

    def __init__(self, delta: float = 1.0) -> None:
        super().__init__(delta=check_delta(delta))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss, a scalar, of logits [n] and targets [n]."""
        return ap_loss(logits, targets, **self.settings)
