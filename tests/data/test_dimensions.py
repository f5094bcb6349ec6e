"""References, accuracy, lateness, duplicates, spread and slices, each against a plain count of the rows."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.conftest import hours

from trimtab.data.port import DataError
from trimtab.data.quality import measure as measuring
from trimtab.data.quality.check import Other
from trimtab.data.quality.measure import longest_window, measure
from trimtab.data.spec import ColumnRule, DatasetSpec, Reference, Trusted
from trimtab.records.requirement import Requirement, Verdict

NOW = hours(40)
SPEC = DatasetSpec(
    name="trips",
    source="x",
    key=("id",),
    time="at",
    label="kind",
    valid=(ColumnRule(column="n", low=0, high=5),),
    references=(Reference(column="town", dataset="towns", key="name"),),
    trusted=(Trusted(column="n", dataset="audit", other="truth", within=0.5), Trusted(column="town", other="town2")),
    plausible=("n <= 4", "n >= 1"),
    recorded="seen",
)
TOWNS = pl.DataFrame({"name": ["Ulm", "Rom", None], "at": [hours(0)] * 3})
AUDIT = pl.DataFrame({"no": ["a", "b", "c"], "at": [hours(0)] * 3, "truth": [1.0, None, 3.0]})
SCHEMA = {
    "id": pl.String, "at": pl.Datetime("us", "UTC"), "seen": pl.Datetime("us", "UTC"), "n": pl.Int64,
    "town": pl.String, "town2": pl.String, "kind": pl.String, "x": pl.Float64,
}  # fmt: skip
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.sampled_from("abcde"),
            "at": st.integers(0, 30).map(hours),
            "seen": st.none() | st.integers(0, 60).map(hours),
            "n": st.none() | st.integers(-1, 6),
            "town": st.none() | st.sampled_from(["Ulm", "Rom", "Bonn"]),
            "town2": st.none() | st.sampled_from(["Ulm", "Rom", "Bonn"]),
            "kind": st.none() | st.sampled_from(["yes", "no"]),
            "x": st.none() | st.floats(-1e6, 1e6),
        }
    ),
    min_size=1,
    max_size=30,
)


def others(name: str) -> Other:
    return {"towns": Other(TOWNS, ("name",)), "audit": Other(AUDIT.lazy(), ("no",))}[name]


def ask(metric: str, comparison: str = ">=", limit: float = 0.5, **more: Any) -> Requirement:
    return Requirement(metric=f"data.{metric}", comparison=comparison, limit=limit, **more)  # type: ignore[arg-type]


def judged(rows: pl.DataFrame | pl.LazyFrame, *asked: Requirement, window: float | None = None) -> list[Verdict]:
    return measure(rows, SPEC, asked, now=NOW, quarantined={}, others=others, window=window)


def one(rows: pl.DataFrame, asked: Requirement) -> Verdict:
    (verdict,) = judged(rows, asked)
    return verdict


@given(ROWS)
@settings(max_examples=60)
def test_figures_are_those_of_a_plain_count(rows: list[dict[str, Any]]) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA)
    truth = {"a": 1.0, "c": 3.0}
    compared = [abs(r["n"] - truth[r["id"]]) <= 0.5 for r in rows if r["id"] in truth and r["n"] is not None]
    towns = [r["town"] == r["town2"] for r in rows if r["town"] and r["town2"]]
    referring = [r["town"] != "Bonn" for r in rows if r["town"]]
    plausible = [r["n"] is None or 1 <= r["n"] <= 4 for r in rows]
    numbers = [r["n"] for r in rows if r["n"] is not None]
    late = sorted(max(0.0, (r["seen"] - r["at"]).total_seconds()) for r in rows if r["seen"])
    kinds = Counter(r["kind"] for r in rows if r["kind"])
    seen = {(r["n"], r["town"]) for r in rows if r["n"] is not None or r["town"] is not None}
    empty = sum(r["n"] is None and r["town"] is None for r in rows)
    asked = {
        ask("accuracy"): _share(compared + towns),
        ask("accuracy", columns=("n",)): _share(compared),
        ask("referential"): _share(referring),
        ask("plausibility"): _share(plausible),
        ask("timeliness", "<=", 1.0): late[int(np.ceil(0.95 * len(late))) - 1] if late else None,
        ask("timeliness", "<=", 1.0, quantile=0.5): late[int(np.ceil(0.5 * len(late))) - 1] if late else None,
        ask("balance"): min(kinds.values()) / kinds.total() if kinds else None,
        ask("mean", columns=("n",)): float(np.mean(numbers)) if numbers else None,
        ask("deviation", columns=("n",)): float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None,
        ask("minimum", columns=("n",)): min(numbers, default=None),
        ask("maximum", columns=("n",)): max(numbers, default=None),
        ask("distinct", columns=("town",)): float(len({r["town"] for r in rows if r["town"]})),
        ask("duplicates", columns=("n", "town")): (len(rows) - empty - len(seen)) / len(rows),
    }
    got = judged(frame, *asked)
    for requirement, verdict in zip(asked, got, strict=True):
        expected = asked[requirement]
        assert verdict.figure == (None if expected is None else pytest.approx(expected)), requirement
        if verdict.figure is not None and verdict.low is not None and verdict.high is not None:
            assert verdict.low <= verdict.figure + 1e-9
            assert verdict.figure <= verdict.high + 1e-9


@given(ROWS, st.integers(1, 4))
@settings(max_examples=40)
def test_slices_are_measured_as_if_alone(rows: list[dict[str, Any]], least: int) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA)
    metrics = ["completeness", "validity", "uniqueness", "plausibility", "referential", "accuracy", "rows"]
    asked = [ask(name, limit=0.7, by="town", min_rows=least) for name in metrics]
    asked.append(ask("timeliness", "<=", 7200.0, by="town", min_rows=least))
    asked.append(ask("distinct", ">=", 2.0, by="town", columns=("n",)))
    for requirement, verdict in zip(asked, judged(frame, *asked), strict=True):
        whole = Requirement(**{f: getattr(requirement, f) for f in requirement.__struct_fields__} | {"by": None})
        towns = {str(name): part for (name,), part in frame.group_by("town")}
        assert verdict.slice in {*towns, "null", None}
        if verdict.slice is not None and verdict.low is None:
            part = towns["None" if verdict.slice == "null" else verdict.slice]
            assert verdict.figure == one(part, whole).figure


def test_every_slice_counts_for_rows_however_small() -> None:
    frame = pl.DataFrame({"id": list("abcd"), "at": [hours(1)] * 4, "town": ["Ulm"] * 3 + ["Rom"]})
    verdict = one(frame.cast({"at": SCHEMA["at"]}), ask("rows", ">=", 2.0, by="town"))
    assert (verdict.status, verdict.slice, verdict.figure) == ("broken", "Rom", 1.0)


def test_a_window_cuts_what_is_judged() -> None:
    frame = pl.DataFrame({"id": list("abcdef"), "at": [hours(n) for n in (1, 10, 20, 30, 38, 39)]})
    frame = frame.cast({"at": SCHEMA["at"]})
    spec = DatasetSpec(name="trips", source="x", key=("id",), time="at")
    asked = [ask("rows"), ask("rows", window=11 * 3600.0), ask("rows", window=39.5 * 3600.0)]
    found = measure(frame, spec, asked, now=NOW, quarantined={}, window=5 * 3600.0)
    assert [verdict.figure for verdict in found] == [2.0, 3.0, 6.0]
    assert longest_window(asked, 5 * 3600.0) == 39.5 * 3600.0
    assert [v.figure for v in measure(frame, spec, asked[:1], now=NOW, quarantined={}, window=1.0)] == [6.0]


@given(st.integers(0, 10_000))
@settings(max_examples=20)
def test_intervals_hold_what_they_should(seed: int) -> None:
    """The 95% interval of a quantile and of a mean covers the true one, but for rare samples."""
    dice = np.random.default_rng(seed)
    covered = {"quantile": 0, "mean": 0}
    for _ in range(20):
        frame = pl.DataFrame({"id": ["a"] * 200, "x": dice.exponential(1.0, 200)})
        for name, true in (("quantile", np.log(2)), ("mean", 1.0)):
            verdict = one(frame, ask(name, limit=true, columns=("x",)))
            assert verdict.low is not None
            assert verdict.high is not None
            covered[name] += verdict.low <= true <= verdict.high
    assert min(covered.values()) >= 14


def test_few_rows_are_unknown_and_many_decide() -> None:
    late = pl.DataFrame({"id": ["a"] * 99, "at": [hours(0)] * 99, "seen": [hours(3)] * 99})
    told = one(late, ask("timeliness", "<=", 7200.0))
    assert (told.status, told.figure) == ("unknown", 10_800.0)
    told = one(pl.concat([late, late]), ask("timeliness", "<=", 7200.0))
    assert told.status == "broken"
    assert "0.95 of 198 rows lie below" in told.reason


def test_spelling_does_not_tell_rows_apart() -> None:
    words = ["Main Street 1", "main street  1!", unicodedata.normalize("NFD", "Café"), "café", None, None, "x"]
    frame = pl.DataFrame({"id": list("abcdefg"), "words": words, "x": [0.1 + 0.2, 0.3, 1.0, 1.0, None, None, 1.0]})
    verdict = one(frame, ask("duplicates", "<=", 0.1, columns=("words", "x")))
    assert (verdict.status, verdict.figure) == ("broken", pytest.approx(2 / 7))
    assert "2 of 7 rows are like an earlier one" in verdict.reason


def test_hashes_that_nearly_agree() -> None:
    hashes = ["00000000000000ff", "00000000000000fe", None, "f000000000000000", "f000000000000001", "0ff0000000000000"]
    frame = pl.DataFrame({"id": list("abcdef"), "hash": hashes, "n": [2**63 - 1, -1, 0, 1, 2, 3]})
    near = one(frame, ask("duplicates", "<=", 0.1, columns=("hash",), distance=1))
    assert near.figure == pytest.approx(2 / 6)
    assert one(frame, ask("duplicates", "<=", 0.1, columns=("hash",), distance=0)).figure == 0.0
    assert one(frame, ask("duplicates", "<=", 0.1, columns=("n",), distance=1)).figure == pytest.approx(4 / 6)
    with pytest.raises(DataError, match="16 hexadecimal digits"):
        one(frame.with_columns(hash=pl.lit("a picture")), ask("duplicates", columns=("hash",), distance=1))
    with pytest.raises(DataError, match="holds no hashes"):
        one(frame.with_columns(hash=pl.lit(1.5)), ask("duplicates", columns=("hash",), distance=1))


def test_corrupt_media_are_counted_wherever_they_ended() -> None:
    frame = pl.DataFrame({"id": list("abc"), "corrupt": ["ends early", None, None]})
    assert one(frame, ask("corrupt", "<=", 0.1)).figure == pytest.approx(1 / 3)
    (verdict,) = measure(
        frame, SPEC, [ask("corrupt", "<=", 0.1)], now=NOW, quarantined={"corrupt: no picture": 1, "invalid: n": 5}
    )
    assert verdict.figure == pytest.approx(2 / 4)
    flagged = pl.DataFrame({"id": list("abc"), "bad": [True, False, None]})
    assert one(flagged, ask("corrupt", "<=", 0.1, columns=("bad",))).figure == pytest.approx(1 / 3)


def test_keys_are_counted_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan whose rows are more than are counted at once goes through them again, and comes to the same figures."""
    dice = np.random.default_rng(0)
    frame = pl.DataFrame({"id": dice.integers(0, 5_000, 9_000), "b": dice.integers(0, 3, 9_000)})
    spec = DatasetSpec(name="trips", source="x", key=("id", "b"), time="at")
    asked = [ask("uniqueness"), ask("distinct", columns=("id",)), ask("duplicates", columns=("b",))]
    at_once = measure(frame.lazy(), spec, asked, now=NOW, quarantined={})
    monkeypatch.setattr(measuring, "_AT_ONCE", 1_000)
    assert measure(frame.lazy(), spec, asked, now=NOW, quarantined={}) == at_once
    assert at_once[1].figure == frame["id"].n_unique()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (ask("mean", columns=("town",)), "needs numbers"),
        (ask("mean", columns=("tow",)), "no column 'tow'"),
        (ask("rows", by="tow"), "no column 'tow'"),
        (ask("corrupt"), "no column 'corrupt'"),
    ],
)
def test_what_cannot_be_measured_is_named(asked: Requirement, words: str) -> None:
    with pytest.raises(DataError, match=words):
        one(pl.DataFrame(schema=SCHEMA), asked)


def test_datasets_that_do_not_fit_are_named() -> None:
    frame = pl.DataFrame(schema=SCHEMA | {"town": pl.Int64})
    with pytest.raises(DataError, match=r"'town' is Int64 and towns\.name is String"):
        one(frame, ask("referential"))
    with pytest.raises(DataError, match="not at hand"):
        measure(frame, SPEC, [ask("referential")], now=NOW, quarantined={})
    odd = DatasetSpec(
        name="t", source="x", key=("id",), time="at", trusted=(Trusted(column="n", dataset="audit", other="q"),)
    )
    with pytest.raises(DataError, match="no column 'q'"):
        measure(frame, odd, [ask("accuracy")], now=NOW, quarantined={}, others=others)
    late = DatasetSpec(name="t", source="x", key=("id",), time="at", recorded="n")
    with pytest.raises(DataError, match="Int64 is no time"):
        measure(frame, late, [ask("timeliness", "<=")], now=NOW, quarantined={})


def test_slices_of_a_key_are_too_many() -> None:
    frame = pl.DataFrame({"id": range(10_001), "at": [NOW - timedelta(hours=1)] * 10_001})
    with pytest.raises(DataError, match="too many slices"):
        one(frame, ask("rows", by="id"))


def _share(hits: Sequence[bool]) -> float | None:
    return sum(hits) / len(hits) if hits else None
