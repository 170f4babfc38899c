"""A training stopped at any step of any epoch ends in the same bits as one that was not."""

import random

import pytest

from rankdet.catalogue.presets import Preset
from rankdet.datasets.digits import prepare_digits
from tests.reliability.runs import (
    EPOCHS,
    ROWS,
    data_of,
    gentle_rate,
    stopped_run,
    whole_run,
)

BY_ITERATION = Preset("demo", "for this test", "digits", 12, 2, 64, True, 1e-3, 1e-3, validations=3)


def check(entry_id, data, folder, workers, count, preset=None):
    named = {} if preset is None else {"preset": preset}
    with gentle_rate():
        states, record = whole_run(entry_id, data, folder / "whole", 0, **named)
        last = max(states)
        assert len(set(states.values())) == last  # a step changes something
        draw = random.Random(f"{entry_id} {workers}")
        stops = sorted(draw.sample(range(1, last), min(count, last - 1)))
        found, cut, run = stopped_run(
            *(entry_id, data, folder / "cut"), stops=stops, workers=workers, **named
        )
    assert {number: set(each) for number, each in found.items()} == {
        number: {each} for number, each in states.items()
    }
    assert all(len(each) == 1 for each in found.values())  # no step was made twice
    assert cut == record
    assert run["resumed"] and len(run["sessions"]) == len(stops) + 1
    ends = [session["to"] for session in run["sessions"]]
    assert ends == [*stops, last]
    return stops


@pytest.mark.parametrize(("kind", "workers"), zip(ROWS, (2, 0, 2, 4), strict=True))
def test_a_run_by_epochs_stopped_twice(kind, workers, tmp_path):
    entry_id = ROWS[kind]
    stops = check(entry_id, data_of(entry_id, tmp_path), tmp_path, workers, 2)
    assert len(stops) == 2


@pytest.mark.heavy  # 24 minutes on a core that is shared
@pytest.mark.parametrize("workers", [0, 2, 4])
@pytest.mark.parametrize("kind", ROWS)
def test_a_run_by_epochs_stopped_after_each_of_20_steps(kind, workers, tmp_path):
    entry_id = ROWS[kind]
    stops = check(entry_id, data_of(entry_id, tmp_path), tmp_path, workers, 20)
    assert len(stops) >= 20 and EPOCHS > 1


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_by_iterations_with_adamw(workers, tmp_path):
    data = prepare_digits(tmp_path / "digits", 0, 8, 2)
    check("control_atss_r50", data, tmp_path, workers, 4, BY_ITERATION)
