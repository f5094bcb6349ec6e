"""Makes the card of a model in a system: finds or makes what it says, and writes it as a page or as text."""

from __future__ import annotations

from datetime import datetime

from trimtab.console.cards.card import ModelCard, collect_card
from trimtab.console.cards.page import card_page
from trimtab.console.cards.text import card_text
from trimtab.errors import TrimtabError
from trimtab.experiments.trainings import find_training
from trimtab.records.facts import ModelTrained
from trimtab.records.journal import Entry
from trimtab.wiring.analysis import analysis_of
from trimtab.wiring.package import data_of
from trimtab.wiring.place import Place

PAGE, TEXT = "model_card.html", "model_card.md"


def card_of(place: Place, entry: Entry[ModelTrained], now: datetime, *, again: bool = False) -> ModelCard:
    """The card of a model. Where the rows that judged it are gone, and nobody looked before, the card says so."""
    analysis, why = None, ""
    try:
        analysis = analysis_of(place, entry, again=again)
    except TrimtabError as error:
        why = f"Not measured: {error.message}."
    training = find_training(place.blobs, entry.fact.identity.id)
    spent = training.energy if training is not None else None
    return collect_card(
        place.system,
        place.ledger,
        entry,
        analysis=analysis,
        why=why,
        data=data_of(place, entry.fact),
        size=place.blobs.size(entry.fact.bundle.onnx),
        now=now,
        energy=(spent.joules, spent.basis) if spent is not None else None,
    )


def documents(card: ModelCard) -> dict[str, bytes]:
    """The card as files that go with the model."""
    return {PAGE: card_page(card).encode(), TEXT: card_text(card).encode()}
