"""Curves in text: they fill their frame, whatever the numbers."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from trimtab.cli.curves import bars, plot

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(NUMBERS, max_size=60), st.integers(1, 70), st.integers(1, 8))
def test_a_plot_stays_in_its_frame(values, columns, rows):
    lines = plot(list(range(len(values))), values, columns=columns, rows=rows)
    assert len(lines) == rows
    assert all(len(line) <= columns for line in lines)
    finite = [value for value in values if math.isfinite(value)]
    if len(set(finite)) > 1:
        assert lines[0]
        assert lines[-1]


def test_a_rising_line_goes_from_the_lower_left_to_the_upper_right():
    lines = plot(range(10), range(10), columns=4, rows=3)
    assert lines[-1][0] == "⡠" or lines[-1].strip("⠀")
    assert len(lines[0]) == 4
    assert lines[0].lstrip("⠀") != ""
    assert lines[0][0] == "⠀"


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=60), st.integers(1, 70))
def test_bars_fit(values, columns):
    assert len(bars(values, columns)) == min(columns, len(values))
