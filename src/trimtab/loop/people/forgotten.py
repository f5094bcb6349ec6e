"""Who was forgotten, as the ledger tells it, and which models learned from them."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from trimtab.records.facts import PersonForgotten, TrainingTried
from trimtab.records.ledger import Ledger


class Forgotten(NamedTuple):
    """People whom a model learned from: how many, when the last was forgotten, and whether no training was tried
    since."""

    people: int
    at: datetime
    unanswered: bool

    @property
    def evidence(self) -> str:
        """In words."""
        who = "someone" if self.people == 1 else f"{self.people} people"
        return f"the live model learned from {who} who was forgotten at {self.at:%Y-%m-%d %H:%M}"


def tainted_models(ledger: Ledger) -> frozenset[str]:
    """The models that learned from anyone who was forgotten since."""
    return frozenset(model for entry in ledger.entries(PersonForgotten) for model in entry.fact.models)


def forgotten_by(ledger: Ledger, model: str) -> Forgotten | None:
    """Of whom `model` has to be rid; None where it is of nobody."""
    those = [entry for entry in ledger.entries(PersonForgotten) if model in entry.fact.models]
    if not those:
        return None
    tried = ledger.last(TrainingTried)
    return Forgotten(len(those), those[-1].at, tried is None or tried.seq < those[-1].seq)
