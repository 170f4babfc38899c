"""AP Loss (Chen et al., Towards Accurate One-Stage Object Detection with AP-Loss, CVPR 2019)."""

from __future__ import annotations

import torch
from torch import Tensor

from rankdet.losses.compilation import not_compiled
from rankdet.losses.ranking import Pool, Update, error_driven_loss
from rankdet.losses.settings import check_delta
from rankdet.losses.validation import check_inputs, read_values


def _rule(pool: Pool) -> Update:
    """With 1 - precision_i = FP_i / rank_i, interpolation is a running minimum from the low end.

    So the loss is the mean of that minimum m_i, and c_i = m_i / FP_i covers both published cases:
    1 / rank_i where i itself has the minimum, (1 - M_i) / ((1 - precision_i) rank_i) elsewhere.
    """
    false_positives = pool.false_positives
    (positives_above,) = pool.positives_above(torch.ones_like(pool.logits))
    rank = positives_above + 0.5 + false_positives  # the own term is 1/2; rank counts it as 1
    missed = torch.cummin(false_positives / rank, 0).values
    coefficients = torch.where(false_positives > 0, missed / false_positives, 0.0)
    return Update((missed.sum(),), (-missed,), coefficients)


@not_compiled
def ap_loss(
    logits: Tensor, targets: Tensor, *, delta: float = 1.0, pools: Tensor | None = None
) -> Tensor:
    """AP Loss: 1 - AP of the ranking, with interpolated precision; exact, O((P + N) log P).

    Args:
        logits: raw scores before the sigmoid [n]: all anchors x classes of all images together.
        targets: > 0 positive, 0 negative, -1 ignored [n].
        delta: half width of the window that softens "ranked above", in logits; eq. 8 of the paper.
        pools: ranking pool of each logit, int64 [n]; None ranks all together. The result is the
            mean over the pools that occur; one without positives counts as 0.

    Returns:
        Scalar in [0, 1]; float64 for float64 logits, else float32. Its gradient is the paper's
        error-driven update, not the derivative of the value: what the positives are pulled up in
        all, the negatives are pushed down. Without positives: 0, with a gradient of zeros.

    Raises:
        InputError: (a ValueError) wrong shape, dtype or device, NaN or infinite logits, targets
            out of range, or logits that require no grad while gradients are recorded.

    Example:
        >>> logits = torch.tensor([2.0, -1.0, 0.5, -3.0], requires_grad=True)
        >>> loss = ap_loss(logits, torch.tensor([1, 0, 1, -1]))
        >>> loss.backward()
    """
    check_inputs(logits, targets, pools)
    delta = check_delta(delta)
    positions = read_values(logits, targets, delta)
    return error_driven_loss(_rule, logits, targets, positions, pools, delta, 1)[0]
