"""Rules for cells and rows: what the declaration accepts is what the data stage can use, and the other way round."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trimtab.data.port import DataError
from trimtab.data.quality.rules import parse_consistent
from trimtab.data.spec import ColumnRule
from trimtab.declaration.tables.datasets import parse_comparison, parse_rule
from trimtab.errors import DeclarationError

sides = st.sampled_from(
    ["a", "b_2", "a.b", "`a b`", "3", "-2.5e3", "true", '"text"', "'it'", "ä", "a b", "a + 1", "", "2a", "`"]
)
signs = st.sampled_from(["<", "<=", ">", ">=", "==", "!=", "=", "=>", "<>", ""])
gaps = st.sampled_from(["", " ", "   "])


@given(st.builds("{}{}{}{}{}{}".format, sides, gaps, signs, gaps, sides, gaps))
@example("a <= b")
def test_lines_of_consistent_mean_the_same_to_both(line):
    try:
        ours = parse_comparison(line)
    except DeclarationError as refused:
        if "with itself" in refused.message:
            return
        with pytest.raises(DataError):
            parse_consistent(line)
        return
    theirs, again = parse_consistent(line), parse_consistent(ours)
    assert (theirs.left, theirs.op, theirs.column, theirs.literal) == (
        again.left,
        again.op,
        again.column,
        again.literal,
    )


@pytest.mark.parametrize(
    ("found", "rule"),
    [
        ("0 .. 6000", ColumnRule(column="c", low=0.0, high=6000.0)),
        ("-1.5..1e3", ColumnRule(column="c", low=-1.5, high=1000.0)),
        ("0 ..", ColumnRule(column="c", low=0.0)),
        (".. 5", ColumnRule(column="c", high=5.0)),
        ("3 .. 3", ColumnRule(column="c", low=3.0, high=3.0)),
        (["EWR", "JFK"], ColumnRule(column="c", allowed=("EWR", "JFK"))),
        ([1, 2.5, True], ColumnRule(column="c", allowed=("1", "2.5", "true"))),
        ("/a|b/", ColumnRule(column="c", pattern="a|b")),
    ],
)
def test_rules(found, rule):
    assert parse_rule("c", found) == rule


@pytest.mark.parametrize("found", ["..", "", "5", "5 .. 3", "a .. b", [], [[]], {}, 5, True, "/(/", r"/(a)\1/", "//"])
def test_wrong_rules(found):
    with pytest.raises(DeclarationError):
        parse_rule("c", found)
