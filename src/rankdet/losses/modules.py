"""The losses as modules: the settings stand in the model, the functions do the work."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from rankdet.losses.alrp import alrp_loss
from rankdet.losses.ap import ap_loss
from rankdet.losses.bucketed import bucketed_ap_loss, bucketed_rank_sort_loss
from rankdet.losses.parameterized_ap import check_top_k, chosen_functions, parameterized_ap_loss
from rankdet.losses.rank_sort import rank_sort_loss
from rankdet.losses.settings import check_delta, check_eps


class _Loss(nn.Module):
    """A loss with fixed settings; no parameters, no state."""

    def __init__(self, **settings) -> None:
        super().__init__()
        self.settings = settings

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.settings.items())


class ApLoss(_Loss):
    """:func:`rankdet.losses.ap_loss`."""

    def __init__(self, delta: float = 1.0) -> None:
        super().__init__(delta=check_delta(delta))

    def forward(self, logits: Tensor, targets: Tensor, pools: Tensor | None = None) -> Tensor:
        """Loss [scalar] of logits [n] and targets [n]."""
        return ap_loss(logits, targets, pools=pools, **self.settings)


class AlrpLoss(_Loss):
    """:func:`rankdet.losses.alrp_loss`."""

    def __init__(self, delta: float = 1.0, eps: float = 1e-5) -> None:
        super().__init__(delta=check_delta(delta), eps=check_eps(eps))

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        localization_errors: Tensor,
        pools: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(classification, localization) of logits [n], targets [n] and errors [P]."""
        return alrp_loss(logits, targets, localization_errors, pools=pools, **self.settings)


class RankSortLoss(_Loss):
    """:func:`rankdet.losses.rank_sort_loss`."""

    def __init__(self, delta: float = 0.5, eps: float = 1e-10) -> None:
        super().__init__(delta=check_delta(delta, zero_allowed=True), eps=check_eps(eps))

    def forward(
        self, logits: Tensor, targets: Tensor, pools: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(ranking, sorting) of logits [n] and soft targets [n]."""
        return rank_sort_loss(logits, targets, pools=pools, **self.settings)


class ParameterizedApLoss(_Loss):
    """:func:`rankdet.losses.parameterized_ap_loss`."""

    def __init__(
        self,
        control_points: Sequence[Sequence[float]] | None = None,
        top_k: int = 100_000,
        form: str = "searched",
    ) -> None:
        top_k = check_top_k(top_k)
        chosen_functions(form, control_points)
        super().__init__(control_points=control_points, top_k=top_k, form=form)

    def forward(
        self, logits: Tensor, qualities: Tensor, targets: Tensor, pools: Tensor | None = None
    ) -> Tensor:
        """Loss [scalar] of logits [n], qualities [n] and targets [n]."""
        return parameterized_ap_loss(logits, qualities, targets, pools=pools, **self.settings)


class BucketedApLoss(_Loss):
    """:func:`rankdet.losses.bucketed_ap_loss`."""

    def __init__(self, delta: float = 1.0, eps: float = 1e-10) -> None:
        super().__init__(delta=check_delta(delta), eps=check_eps(eps))

    def forward(self, logits: Tensor, targets: Tensor, pools: Tensor | None = None) -> Tensor:
        """Loss [scalar] of logits [n] and targets [n]."""
        return bucketed_ap_loss(logits, targets, pools=pools, **self.settings)


class BucketedRankSortLoss(_Loss):
    """:func:`rankdet.losses.bucketed_rank_sort_loss`."""

    def __init__(self, delta: float = 0.5, eps: float = 1e-10) -> None:
        super().__init__(delta=check_delta(delta), eps=check_eps(eps))

    def forward(
        self, logits: Tensor, targets: Tensor, pools: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(ranking, sorting) of logits [n] and soft targets [n]."""
        return bucketed_rank_sort_loss(logits, targets, pools=pools, **self.settings)
