"""The self-balancing weight of the AP code base: as strict about its settings as the library's."""

import numpy as np
import pytest
import torch

from rankdet.errors import InputError
from rankdet.models.ap_code.training import WindowedSelfBalance
from tests.unit.losses.test_self_balance import CASTS, check_cast
from tests.unit.losses.test_settings import check_first_weight


@pytest.mark.parametrize("cast", CASTS)
def test_a_cast_of_the_model_changes_no_digit(cast):
    check_cast(WindowedSelfBalance(), WindowedSelfBalance(), cast)


@pytest.mark.parametrize("option", ["window", "interval", "entries", "period", "passes"])
def test_counts(option):
    assert WindowedSelfBalance(**{option: np.int32(4)}).settings[option] == 4
    for value in (True, 0, 2.0, "2", np.float64(2), torch.tensor(2)):
        with pytest.raises(InputError, match=">= 1"):
            WindowedSelfBalance(**{option: value})


def test_the_first_weight():
    check_first_weight(WindowedSelfBalance)
