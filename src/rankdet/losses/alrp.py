"""aLRP Loss (Oksuz et al., A Ranking-based, Balanced Loss Function Unifying Classification and
Localisation in Object Detection, NeurIPS 2020)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rankdet.errors import InputError
from rankdet.losses._checks import FINITE, check_delta, check_eps, check_inputs, read_values
from rankdet.losses._devices import running_sum
from rankdet.losses._ranking import (
    ErrorDriven,
    LossModule,
    LossOperator,
    Ranking,
    Rule,
    Update,
    error_driven_loss,
    value_dtype,
)


def _rule(errors: Tensor, eps: float) -> Rule:
    """The rule for errors e [P], detached, in flat order.

    ``extra`` holds the derivative of the localization value with respect to e: the q-th positive
    from the top gets Sum_{r >= q} 1 / rank_r, since its error counts for all from itself down.
    """

    def rule(ranking: Ranking) -> Update:
        false_positives = ranking.false_positives
        own_errors = errors[ranking.order]
        ones = torch.ones_like(own_errors)
        count_above, errors_above = ranking.positives_above(ones, own_errors)
        rank = count_above + 0.5 + false_positives
        errors_above = errors_above - own_errors / 2  # without the own term
        is_wrong = false_positives > eps
        gap = torch.where(is_wrong, (false_positives + errors_above) / rank, 0.0)
        coefficients = torch.where(is_wrong, gap / false_positives, 0.0)
        value = (false_positives / rank).sum()
        return Update((value,), (-gap,), coefficients, running_sum(1 / rank))

    return rule


def _prepare(
    logits: Tensor, targets: Tensor, errors: Tensor, delta: float, eps: float
) -> tuple[Any, ...]:
    bounded = {"localization_errors": (errors, FINITE)}
    positions = read_values(logits, targets, delta, bounded)
    if errors.shape != positions.shape:
        raise InputError(
            f"localization_errors of shape {list(positions.shape)}, one per positive",
            f"shape {list(errors.shape)}",
            "select the positives in flat order: errors[targets > 0]",
        )
    rule = _rule(errors.detach().to(torch.float64), eps)
    return logits, targets, positions, delta, rule, 1


def _empty(logits: Tensor, targets: Tensor, errors: Tensor, delta: float, eps: float) -> list[Any]:
    value = logits.new_empty((), dtype=value_dtype(logits))
    return [value, torch.empty_like(errors, dtype=torch.float64)]


_OPERATOR = LossOperator(
    "alrp_loss",
    "Tensor logits, Tensor targets, Tensor errors, float delta, float eps",
    ErrorDriven,
    _prepare,
    _empty,
)


def alrp_loss(
    logits: Tensor,
    targets: Tensor,
    localization_errors: Tensor,
    *,
    delta: float = 1.0,
    eps: float = 1e-5,
) -> tuple[Tensor, Tensor]:
    """ALRP Loss: its classification and its localization part; exact, O((P + N) log P).

    The classification part is 1 - mean precision (not interpolated); its gradient is the paper's
    error-driven update with the errors as part of the target, eq. 7-10. The localization part is
    mean_i (errors of all positives ranked above i and of i itself) / rank_i, eq. 5; it is linear in
    the errors and carries the gradient into them. Weigh it by :class:`rankdet.losses.SelfBalance`.

    Args:
        logits: raw scores before the sigmoid [n].
        targets: > 0 positive, 0 negative, -1 ignored [n].
        localization_errors: e_i >= 0 of each positive in flat order [P], with its graph; the
            published heads use 1 - GIoU. The classification part sees it detached.
        delta: half width of the window function, in logits.
        eps: a positive with FP_i <= eps counts as perfectly ranked: no update.

    Returns:
        (classification, localization), scalars. Among positives with equal logits the one that
        comes later in the list ranks higher in the localization part. No positives: zeros with
        a graph.

    Raises:
        InputError: as :func:`rankdet.losses.ap_loss`; also unless there is one finite error >= 0
            per positive.

    Example:
        >>> import torch
        >>> from rankdet.losses import alrp_loss
        >>> logits = torch.tensor([2.0, 1.5, 0.5], requires_grad=True)
        >>> giou = torch.tensor([0.9, 0.6], requires_grad=True)  # of the two positives
        >>> classification, localization = alrp_loss(logits, torch.tensor([1, 0, 1]), 1 - giou)
        >>> round(classification.item(), 4), round(localization.item(), 4)
        (0.2667, 0.1233)
        >>> localization.backward()
        >>> [round(each, 4) for each in giou.grad.tolist()]
        [-0.5667, -0.1667]
    """
    check_inputs(logits, targets)
    delta = check_delta(delta)
    eps = check_eps(eps)
    _check_errors(localization_errors, logits)
    given = logits, targets, localization_errors, delta, eps
    if torch.compiler.is_compiling():
        classification, share = _OPERATOR(*given)
    else:
        classification, share = error_driven_loss(*_prepare(*given))
    localization = (share.detach() * localization_errors.to(torch.float64)).sum()
    # Without positives it is zero, but tied to the logits.
    if torch.compiler.is_compiling() or localization_errors.numel() == 0:
        localization = localization + 0 * classification
    return classification, localization.to(value_dtype(logits))


class AlrpLoss(LossModule):
    """ALRP Loss with fixed settings; see :func:`rankdet.losses.alrp_loss`.

    Args:
        delta: as in the function.
        eps: as in the function.

    Raises:
        InputError: for a delta that is no finite number > 0, or an eps that is none >= 0.

    Example:
        >>> import torch
        >>> from rankdet.losses import AlrpLoss
        >>> loss, logits = AlrpLoss(), torch.tensor([2.0, 1.5, 0.5], requires_grad=True)
        >>> parts = loss(logits, torch.tensor([1, 0, 1]), torch.tensor([0.1, 0.4]))
        >>> [round(each.item(), 4) for each in parts]
        [0.2667, 0.1233]
    """

    def __init__(self, delta: float = 1.0, eps: float = 1e-5) -> None:
        super().__init__(delta=check_delta(delta), eps=check_eps(eps))

    def forward(
        self, logits: Tensor, targets: Tensor, localization_errors: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return (classification, localization) of logits [n], targets [n] and errors [P]."""
        return alrp_loss(logits, targets, localization_errors, **self.settings)


def _check_errors(errors: Tensor, logits: Tensor) -> None:
    if not isinstance(errors, Tensor) or errors.ndim != 1 or not errors.is_floating_point():
        got = type(errors).__name__
        if isinstance(errors, Tensor):
            got = f"{errors.dtype} of shape {list(errors.shape)}"
        raise InputError(
            "localization_errors as a float tensor of shape [P]",
            got,
            "give one error per positive, 1 - GIoU",
        )
    if errors.device != logits.device:
        raise InputError(
            f"localization_errors on {logits.device}, as the logits", f"{errors.device}", "move it"
        )
