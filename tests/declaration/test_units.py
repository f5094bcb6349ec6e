"""Quantities keep their figure through writing and reading, and a wrong unit is told with the right one."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trimtab.declaration.units import (
    format_duration,
    format_quantity,
    nearest_unit,
    parse_duration,
    parse_quantity,
    parse_size,
    units_of,
)
from trimtab.errors import DeclarationError

FAMILIES = ("time", "size", "rate", "money", "ratio", "number")
figures = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)


@st.composite
def units(draw):
    family = draw(st.sampled_from(FAMILIES))
    return family, draw(st.sampled_from(units_of(family, "EUR")))


@given(units(), figures)
@example(("time", "ms"), 0.015)
@example(("rate", "/min"), 0.1)
@example(("number", ""), 5e-324)
def test_a_figure_survives_writing_and_reading(kind, figure):
    family, unit = kind
    one = parse_quantity(f"1{unit}" if unit == "%" else f"1 {unit}", family, "EUR")[1]
    text = format_quantity(figure, unit, one)
    assert parse_quantity(text, family, "EUR") == (figure, one, unit)


@given(st.decimals(-(10**12), 10**12, places=6), units())
def test_what_was_written_is_written_again(number, kind):
    family, unit = kind
    value, scale, found = parse_quantity(f"{number}{unit}", family, "EUR")
    again = format_quantity(value, found, scale)
    assert parse_quantity(again, family, "EUR")[0] == value
    assert len(again.split(" ")[0].removesuffix("%")) <= len(f"{number:f}") + 1


@given(st.floats(min_value=0, max_value=1e12))
def test_a_duration_survives_writing_and_reading(seconds):
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "family", "value", "scale", "unit"),
    [
        ("15 ms", "time", 0.015, 0.001, "ms"),
        ("15ms", "time", 0.015, 0.001, "ms"),
        ("5 min", "time", 300.0, 60.0, "min"),
        ("2 w", "time", 1_209_600.0, 604_800.0, "w"),
        ("250 us", "time", 0.00025, 1e-6, "us"),
        ("600 MiB", "size", 629_145_600.0, 1_048_576.0, "MiB"),
        ("1.5 GB", "size", 1.5e9, 1e9, "GB"),
        ("500 /s", "rate", 500.0, 1.0, "/s"),
        ("30 /min", "rate", 0.5, 1 / 60, "/min"),
        ("20 USD", "money", 20.0, 1.0, "USD"),
        ("-20.5 USD", "money", -20.5, 1.0, "USD"),
        ("98%", "ratio", 0.98, 0.01, "%"),
        ("98 %", "ratio", 0.98, 0.01, "%"),
        (".66", "ratio", 0.66, 1.0, ""),
        ("50_000", "number", 50_000.0, 1.0, ""),
        ("1e6", "number", 1e6, 1.0, ""),
    ],
)
def test_quantities_are_read(text, family, value, scale, unit):
    assert parse_quantity(text, family, "USD") == (value, scale, unit)


@pytest.mark.parametrize(
    ("value", "unit", "scale", "text"),
    [
        (0.015, "ms", 0.001, "15 ms"),
        (0.98, "%", 0.01, "98%"),
        (0.66, "", 1.0, "0.66"),
        (629_145_600.0, "MiB", 2.0**20, "600 MiB"),
        (1e6, "", 1.0, "1000000"),
        (0.0, "s", 1.0, "0 s"),
    ],
)
def test_quantities_are_written_shortly(value, unit, scale, text):
    assert format_quantity(value, unit, scale) == text


def test_digits_round_for_display():
    assert format_quantity(0.6612345, "", 1.0, digits=3) == "0.661"
    assert format_quantity(0.0151234, "ms", 0.001, digits=2) == "15 ms"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(259_200, "3 d"), (7200, "2 h"), (90, "90 s"), (0.25, "250 ms"), (0.0, "0 s"), (5400, "90 min"), (1.5, "1500 ms")],
)
def test_durations_use_the_largest_whole_unit(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "family", "words"),
    [
        ("15 MiB", "time", ["is a size", "a time is expected", "us, ms, s, min"]),
        ("15", "time", ["has no unit"]),
        ("15 m", "time", ['did you mean "15 min"']),
        ("15 seconds", "time", ['did you mean "15 s"']),
        ("15 MS", "time", ['did you mean "15 ms"']),
        ("600 mb", "size", ['did you mean "600 MB"']),
        ("600 Mib", "size", ['did you mean "600 MiB"']),
        ("500", "rate", ["has no unit", "/s, /min, /h"]),
        ("500 rps", "rate", ['did you mean "500 /s"']),
        ("20 EUR", "money", ["is in EUR", "USD"]),
        ("20", "money", ["has no unit", "USD"]),
        ("98 percent", "ratio", ['did you mean "98 %"']),
        ("0.5 s", "ratio", ["is a time", "a ratio is expected"]),
        ("98%", "number", ["is a ratio"]),
        ("fast", "time", ['"fast" is not a time']),
        ("", "ratio", ["is not a ratio"]),
        ("nan", "ratio", ["is not a ratio"]),
        ("1_000_", "number", ["not a unit"]),
        ("1e999", "number", ["too large"]),
        ("1e-999 s", "time", []),
    ],
)
def test_what_is_no_quantity_is_told(text, family, words):
    if not words:
        assert parse_quantity(text, family)[0] == 0.0
        return
    with pytest.raises(DeclarationError) as caught:
        parse_quantity(text, family, "USD")
    for word in words:
        assert word in str(caught.value)


def test_durations_and_sizes_are_not_negative():
    with pytest.raises(DeclarationError, match="negative time"):
        parse_duration("-3 d")
    with pytest.raises(DeclarationError, match="negative size"):
        parse_size("-1 B")
    assert parse_size("4 GiB") == 4 * 2**30


def test_a_far_unit_has_no_neighbour():
    assert nearest_unit("furlongs", "time") is None


@given(st.text(max_size=30), st.sampled_from(FAMILIES))
def test_any_text_is_a_quantity_or_an_error_of_ours(text, family):
    try:
        value, scale, unit = parse_quantity(text, family, "USD")
    except DeclarationError:
        return
    assert unit in units_of(family, "USD")
    assert scale > 0
    assert not math.isnan(value)
