"""Sigmoid focal loss and its gradient, as mmcv's operators.

Source: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, equation 5; the gradient is
in its appendix B. Compiled mmcv has it on a GPU only.

The functions have mmcv's names, arguments and order of arguments, and write to a tensor that the
caller made: ``input`` are logits [n, classes], ``target`` [n] the class of each, or ``classes``
for background, ``weight`` [classes] or empty the factor of each row by its class (then no row may
be background, as its weight does not exist).
"""

from __future__ import annotations

import torch
from torch import Tensor

# Below it a float32 has fewer digits; mmcv takes logarithms of no smaller numbers.
_SMALLEST = torch.finfo(torch.float32).tiny


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Write each logit's loss to ``output`` [n, classes]."""
    p, positive = _probabilities(input, target)
    of_positive = -alpha * (1 - p) ** gamma * _log(p)
    of_negative = -(1 - alpha) * p**gamma * _log(1 - p)
    _write(torch.where(positive, of_positive, of_negative), target, weight, output)


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Write the derivative of each logit's loss to ``grad_input`` [n, classes]."""
    p, positive = _probabilities(input, target)
    of_positive = -alpha * (1 - p) ** gamma * (1 - p - gamma * p * _log(p))
    of_negative = -(1 - alpha) * p**gamma * (gamma * (1 - p) * _log(1 - p) - p)
    _write(torch.where(positive, of_positive, of_negative), target, weight, grad_input)


def _probabilities(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The sigmoids [n, classes] and which of them are of the row's own class."""
    classes = torch.arange(logits.shape[1], device=logits.device)
    return logits.detach().sigmoid(), target[:, None] == classes


def _log(values: Tensor) -> Tensor:
    return values.clamp(min=_SMALLEST).log()


def _write(values: Tensor, target: Tensor, weight: Tensor, result: Tensor) -> None:
    if weight.numel():
        values = values * weight.detach()[target][:, None]
    result.copy_(values)
