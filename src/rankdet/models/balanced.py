"""aLRP's self-balance as part of a head."""

from __future__ import annotations

from torch import Tensor

from rankdet.losses import SelfBalance


class SelfBalanced:
    """Mixin: the localisation part is multiplied by the head's own self-balancing weight.

    Its state is saved with the model (the official one was lost when a run was resumed). A
    subclass gives ``loss_names``: the classification part, then the localisation part.

    Args:
        self_balance: arguments of ``balance``, by default `rankdet.losses.SelfBalance`.
    """

    loss_names = ("loss_cls", "loss_bbox")
    balance = SelfBalance

    def __init__(self, *args, self_balance: dict, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.self_balance = self.balance(**self_balance)

    def combine(self, terms: dict[str, Tensor], any_positive: bool) -> dict[str, Tensor]:
        """Balance the localisation part; steps without positives leave the balance alone."""
        classification, localization = self.loss_names
        weight = self.self_balance.update(
            terms[classification], terms[localization], has_positives=any_positive
        )
        return terms | {localization: terms[localization] * weight}
