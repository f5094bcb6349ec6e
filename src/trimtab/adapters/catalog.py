"""Which outside tool serves which stage, by name: one line each, and whatever installed packages add.

Nothing is imported before it is asked for. Another package adds an adapter through the entry point group
`trimtab.<stage>`, named as the declaration names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any

from trimtab.errors import PermanentError


@dataclass(frozen=True)
class Offer:
    """What serves `stage` under `name`: `target` is `module:attribute`; it needs the importable modules `needs`, which
    `pip install 'trimtab[extra]'` brings."""

    stage: str
    name: str
    target: str
    extra: str = ""
    needs: tuple[str, ...] = ()


OFFERS: tuple[Offer, ...] = ()


def find(stage: str, name: str, offers: Sequence[Offer] = OFFERS) -> Any | None:
    """What serves the stage under this name, None where nothing does.

    Raises PermanentError, with the command that installs it, where the tool's own package is missing.
    """
    for offer in offers:
        if (offer.stage, offer.name) == (stage, name):
            return _load(offer)
    for point in entry_points(group=f"trimtab.{stage}", name=name):
        return point.load()
    return None


def names(stage: str, offers: Sequence[Offer] = OFFERS) -> tuple[str, ...]:
    """Every name that serves the stage."""
    ours = [offer.name for offer in offers if offer.stage == stage]
    return tuple(dict.fromkeys([*ours, *(point.name for point in entry_points(group=f"trimtab.{stage}"))]))


def _load(offer: Offer) -> Any:
    missing = [module for module in offer.needs if find_spec(module) is None]
    if missing:
        raise PermanentError(
            f"{offer.name} needs the package {missing[0]!r}, which is not installed",
            hint=f"pip install 'trimtab[{offer.extra}]'",
        )
    module, attribute = offer.target.split(":")
    return getattr(import_module(module), attribute)
