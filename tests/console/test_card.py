"""The card of a model: what it takes from the ledger, what is missing and says so, and what is escaped."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace
from tests.console import history

from trimtab.console.cards import words
from trimtab.console.cards.card import ModelCard, collect_card
from trimtab.console.cards.page import card_page
from trimtab.console.cards.text import card_text
from trimtab.declaration.system import CardSpec, System
from trimtab.records.facts import ModelTrained
from trimtab.records.journal import Draft
from trimtab.records.ledger import Ledger
from trimtab.records.requirement import Estimate
from trimtab.records.slices import WeakSlice, WeakSlicesFound

NOW = datetime(2014, 1, 1, tzinfo=UTC)


def card(system: System, *, slices: tuple[WeakSlice, ...] = ()) -> ModelCard:
    """The card of the second model of a year, without its rows."""
    with Ledger.open(None) as ledger:
        ledger.append_all(Draft(key=e.key, fact=e.fact, at=e.at, measured=e.measured) for e in history.year())
        entry = list(ledger.entries(ModelTrained))[1]
        told = {
            "quality.recall|carrier=B6": Estimate(figure=0.4, low=0.3, high=0.5, rows=500),
            "quality.recall|carrier=UA": Estimate(figure=0.6, low=0.5, high=0.7, rows=900),
        }
        entry = replace(entry, fact=replace(entry.fact, slices=told))
        model = entry.fact.identity.id
        for against in ("", "another"):
            fact = WeakSlicesFound(
                release="r-002", model=model, against=against, metric="surprise", rows=6000, rate=0.1,
                slices=slices if not against else (),
            )  # fmt: skip
            ledger.append(f"weak:r-002:{against or 'itself'}:1", fact, at=NOW)
        return collect_card(
            system, ledger, entry, analysis=None, why="Not measured: the <rows> are gone.", data=(), size=2048, now=NOW
        )


def test_what_the_ledger_knows_is_on_the_card() -> None:
    weak = WeakSlice(where=(("dest", "ORD"), ("hour", "18..21")), rows=300, share=0.05, effect=0.2, low=0.1, high=0.3)
    made = card(history.system(), slices=(weak,))
    assert [move.to for move in made.moves][:2] == ["candidate", "shadow"]
    assert [part for _, part, _ in made.slices] == ["carrier=B6", "carrier=UA"]  # the worst first
    assert {figure.metric for figure in made.figures if figure.required} == {
        "quality.roc_auc", "value.per_1000", "resources.train_time",
    }  # fmt: skip
    assert made.drift
    for text in (card_text(made), card_page(made)):
        assert "Found to do worse where dest=ORD and hour=18..21 (5% of the rows)" in text
        assert "Its inputs have moved since its training" in text
        assert "not declared" in text.lower()


def test_what_is_missing_says_so_and_nothing_breaks_out() -> None:
    told = CardSpec(intended_use="<script>alert(1)</script>", licence="MIT", limits=("a | b",))
    made = card(replace(history.system(), card=told, value=None, requirements=()))
    page, text = card_page(made), card_text(made)
    assert "<script>" not in page
    assert "Not measured: the &lt;rows&gt; are gone." in page
    assert text.count("Not measured: the <rows> are gone.") == 3
    assert 'license: "mit"' in text
    assert "* a | b" in text


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.00002, "20 us"), (0.25, "250 ms"), (42.0, "42 s"), (300, "5 min"), (9000, "2.5 h")]
)
def test_spans_are_said_in_the_unit_that_suits_them(seconds: float, said: str) -> None:
    assert words.trained(seconds) == said


def test_energy_and_sizes_likewise() -> None:
    assert [words.energy(joules) for joules in (18.7, 7200, 3.6e7)] == ["18.7 J", "2 Wh", "10 kWh"]
    assert [words.size(count) for count in (559, 2048, 3 * 2**20)] == ["559 B", "2.00 KiB", "3.00 MiB"]
