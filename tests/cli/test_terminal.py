"""Lines, tables and figures: nothing is lost, nothing is broken, and it fits."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.cli import figures, terminal
from trimtab.cli.output import show_verdicts
from trimtab.cli.terminal import columns_of, plain, show_table, styled, wrapped
from trimtab.records.requirement import Verdict

WORDS = st.lists(
    st.text(st.characters(codec="ascii", categories=("L", "N", "P")), min_size=1, max_size=12), max_size=40
)


@given(WORDS, st.integers(10, 80), st.integers(0, 8))
def test_wrapped_lines_hold_every_word_and_fit(words: list[str], size: int, indent: int) -> None:
    lines = wrapped(" ".join(words), size, indent)
    assert " ".join(lines).split() == words
    for line in lines:
        assert columns_of(line) <= size or len(line.split()) == 1
    assert all(line.startswith(" " * indent) for line in lines[1:])


def test_wrapping_counts_no_styles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "colourful", lambda: True)
    text = f"{styled('r-001', 'bold')} is {styled('live and well', 'green')} since yesterday"
    assert [plain(line) for line in wrapped(text, 20)] == wrapped(plain(text), 20)
    assert plain(styled("x", "bold red")) == "x"


def test_columns_of_wide_and_combining_letters() -> None:
    assert columns_of("機械") == 4
    assert columns_of("e\N{COMBINING ACUTE ACCENT}") == 1


@given(st.text(max_size=40))
def test_plain_text_cannot_steer_the_terminal(text: str) -> None:
    assert all(each.isprintable() for each in plain(f"\x1b[31m{text}\x1b[2J"))


NAMES = ["quality.roc_auc", "quality.calibration_error", "value.per_1000", "resources.memory", "serving.latency_p95"]


def _verdict(metric: str, **changes: object) -> Verdict:
    values: dict[str, object] = {
        "metric": metric,
        "status": "met",
        "comparison": ">=",
        "limit": 0.66,
        "figure": 0.7123,
        "low": 0.69,
        "high": 0.7312,
        "rows": 123_456,
        "place": "live",
    }
    return Verdict(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_verdicts_never_break_a_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    verdicts = [
        _verdict("quality.roc_auc"),
        _verdict("quality.calibration_error", comparison="<=", limit=0.06, figure=0.0184, low=0.00543, high=0.0314),
        _verdict("value.per_1000", limit=100.0, unit="USD", figure=571.6, low=26.6, high=1117.0),
        _verdict("quality.recall", slice="carrier=HA", status="broken", reason="carrier=HA: 0.4 is below 0.66"),
        _verdict("resources.memory", limit=600 * 2.0**20, unit="MiB", scale=2.0**20, figure=None, low=None, high=None),
    ]
    show_verdicts(verdicts)
    out = capsys.readouterr().out
    for verdict in verdicts:
        assert f"{verdict.metric} {figures.limit(verdict)}" in out
    assert "0.712" in out, "the figure is the last to go"
    if columns >= 80:
        assert "123,456" in out
        assert "0.0054..0.0314" in out
        assert max(map(len, out.splitlines())) <= columns
    assert "4 met, 1 broken" in out
    assert "✗ quality.recall: carrier=HA: 0.4 is below 0.66" in " ".join(out.split())


def test_a_table_lets_its_last_column_alone_give_way(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    show_table("", ("cause", "evidence"), [("requirement_broken", "one two three four five " * 4)])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 60
    assert sum(line.count("three") for line in lines) == 4


@pytest.mark.parametrize(
    ("base", "unit", "scale", "shown"),
    [
        (4.78, "min", 60.0, "4.78 s"),
        (0.000936, "ms", 0.001, "0.936 ms"),
        (0.0000936, "ms", 0.001, "93.6 us"),
        (3600.0, "d", 86_400.0, "1 h"),
        (0.0, "d", 86_400.0, "0 d"),
        (45.0 * 86_400, "d", 86_400.0, "45 d"),
        (82.3 * 2**20, "MiB", 2.0**20, "82.3 MiB"),
        (3.2 * 2**30, "MiB", 2.0**20, "3.2 GiB"),
        (5_000_000.0, "KB", 1000.0, "5 MB"),
        (571.6, "USD", 1.0, "572 USD"),
        (-1_234_567.0, "USD", 1.0, "-1,234,567 USD"),
        (0.0029, "%", 0.01, "0.29%"),
        (520_000.0, "/s", 1.0, "520,000 /s"),
        (0.7123, "", 1.0, "0.712"),
        (1.0, "", 1.0, "1"),
        (-0.0000001, "", 1.0, "0"),
        (None, "", 1.0, "-"),
    ],
)
def test_a_figure_is_told_in_a_unit_that_suits_it(base: float | None, unit: str, scale: float, shown: str) -> None:
    assert figures.quantity(base, unit, scale) == shown


@given(st.floats(-1e12, 1e12))
def test_a_number_keeps_three_digits(value: float) -> None:
    text = figures.number(value)
    assert re.fullmatch(r"-?[\d,]+(\.\d+)?", text)
    assert float(text.replace(",", "")) == pytest.approx(value, rel=5.1e-3, abs=5.1e-7)
    assert text not in ("-0", "-0.0")


def test_an_interval_has_the_figures_unit_and_decimals() -> None:
    found = _verdict("resources.train_time", unit="min", scale=60.0, figure=4.781, low=4.2, high=5.9321)
    assert (figures.quantity(4.781, "min", 60.0), figures.interval(found)) == ("4.78 s", "4.20..5.93")
    assert figures.interval(_verdict("x", figure=0.0, low=0.0, high=0.00029, unit="%", scale=0.01)) == "0..0.029"
    assert figures.interval(_verdict("x", low=None)) == ""
