"""`rankdet list`: the state of a row has the color of its kind."""

import pytest

from rankdet.catalogue import load_catalogue
from rankdet.catalogue.state import State, entry_state
from rankdet.report.listing import STATE_STYLES, state_text

LABELS = {
    "measured (demo)": "green",
    "runnable": "cyan",
    "not rehearsed with this code": "yellow",
    "published only": "dim",
}


@pytest.mark.parametrize(("label", "style"), LABELS.items())
def test_a_state_has_its_color(label, style):
    assert state_text(State(label, True)).style == style


def test_every_style_is_of_a_state_that_there_is(tmp_path):
    entry = load_catalogue()["rs_atss_r50"]
    labels = {*LABELS, "no config yet", entry_state(entry, tmp_path).label}
    for prefix in STATE_STYLES:
        assert any(label.startswith(prefix) for label in labels), prefix
