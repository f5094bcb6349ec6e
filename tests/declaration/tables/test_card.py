"""`[card]` and `licence`: what is read, what is refused, and that no decision depends on it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.declaration.conftest import DECLARATION

from trimtab.declaration.load import parse
from trimtab.declaration.problems import DeclarationErrors

CARD = """
[card]
intended_use = "Passengers re-plan"
out_of_scope = "Crew planning"
licence = "(Apache-2.0 OR MIT) AND LicenseRef-ours"
groups = ["carrier", "origin"]
"""


def test_a_card_is_read_and_decides_nothing(folder: Path) -> None:
    bare = parse(DECLARATION, folder / "trimtab.toml")
    text = DECLARATION.replace('name = "flights"\n', 'name = "flights"\nlicence = "CC0-1.0"\n') + CARD
    told = parse(text, folder / "trimtab.toml")
    assert bare.card is None
    assert told.card is not None
    assert told.card.out_of_scope == ("Crew planning",)
    assert told.card.groups == ("carrier", "origin")
    assert [spec.licence for spec in told.data] == ["CC0-1.0", ""]
    assert told.digest == bare.digest


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('licence = "do as you like!"', "[card] licence: expected an SPDX expression"),
        ('groups = ["flight_id"]', '"flight_id" is the key, which makes no groups'),
        ('groups = ["late"]', '"late" is the label, which makes no groups'),
        ('intended_us = "x"', 'did you mean "intended_use"?'),
        ("out_of_scope = [1]", "expected a text or a list of texts"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(folder: Path, line: str, said: str) -> None:
    with pytest.raises(DeclarationErrors) as caught:
        parse(f"{DECLARATION}\n[card]\n{line}\n", folder / "trimtab.toml")
    (error,) = caught.value.errors
    assert said in str(error), str(error)
    assert error.line == DECLARATION.count("\n") + 3
