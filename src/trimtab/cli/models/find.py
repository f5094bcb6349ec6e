"""Which model is meant by the words of a command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.cli.arguments import UsageError
from trimtab.cli.figures import number

if TYPE_CHECKING:
    from trimtab.loop.releases import Releases
    from trimtab.records.facts import ModelTrained
    from trimtab.records.journal import Entry
    from trimtab.records.requirement import Estimate
    from trimtab.wiring.place import Place

SHORT = 10
"""Letters of a digest that tell it from others at a glance."""


def releases(place: Place) -> Releases:
    """Where every release stands."""
    from trimtab.loop.passes.reconcile import releases_of

    return releases_of(place.ledger)


def models(place: Place) -> dict[str, Entry[ModelTrained]]:
    """Every model, by its identity, in order of training."""
    from trimtab.records.facts import ModelTrained

    return {entry.fact.identity.id: entry for entry in place.ledger.entries(ModelTrained)}


def find(place: Place, name: str) -> Entry[ModelTrained]:
    """The model with that id, or a unique beginning of it, or of that release."""
    known = models(place)
    release = next((r for r in releases(place).all if r.release == name), None)
    close = [release.model] if release else [key for key in known if len(name) >= 4 and key.startswith(name)]
    if len(close) != 1 or close[0] not in known:
        told = (
            f"{len(close)} models begin with {name!r}" if len(close) > 1 else f"no model or release is called {name!r}"
        )
        raise UsageError(told, hint="`trimtab models list` names them")
    return known[close[0]]


def expect(words: list[str], least: int, most: int, usage: str) -> None:
    """Refuse another number of words than an action takes."""
    if not least <= len(words) <= most:
        raise UsageError(f"write `trimtab models {usage}`")


def figure(found: Estimate | None) -> str:
    """An estimate's figure, a dash where there is none."""
    return "-" if found is None or found.figure is None else number(found.figure)


def interval(found: Estimate) -> str:
    """`0.690..0.743`, nothing without an interval."""
    return "" if found.low is None or found.high is None else f"{number(found.low)}..{number(found.high)}"
