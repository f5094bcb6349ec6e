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
from typing import Any, cast

from trimtab.data.kinds import SourceKind
from trimtab.errors import PermanentError


@dataclass(frozen=True)
class Offer:
    """What serves `stage` under `name`: `target` is `module:attribute`; it needs the importable modules `needs`, which
    `pip install 'trimtab[extra]'` brings. `kind` says where a source's options lie, as `module:attribute`: it is
    asked for when a declaration is read, and imports no more than msgspec."""

    stage: str
    name: str
    target: str
    extra: str = ""
    needs: tuple[str, ...] = ()
    kind: str = ""


def _source(name: str, target: str, extra: str = "", *needs: str) -> Offer:
    """A source of rows: `target` is `folder:attribute` of an adapter; its `kind.py` says what may be declared."""
    folder, attribute = target.split(":")
    home = f"trimtab.adapters.{folder}"
    return Offer("data", name, f"{home}.data:{attribute}", extra, needs, f"{home}.kind:KIND")


OFFERS: tuple[Offer, ...] = (
    _source("http", "http:open_pages", "http", "urllib3"),
    _source("https", "http:open_pages", "http", "urllib3"),
    _source("sql", "sql:open_rows"),
    _source("label-studio", "label_studio:open_source"),
    Offer("quality", "great_expectations", "trimtab.adapters.great_expectations.quality:GreatExpectations"),
    Offer("labels", "label-studio", "trimtab.adapters.label_studio.labels:open_tool"),
    _source("s3", "s3:open_objects"),
    _source("dvc", "dvc:open_repository"),
    Offer(
        "experiments",
        "tensorboard",
        "trimtab.adapters.tensorboard.experiments:open_tracker",
        "tensorboard",
        ("tensorboardX",),
    ),
    Offer("experiments", "mlflow", "trimtab.adapters.mlflow.experiments:open_tracker", "mlflow", ("urllib3",)),
    Offer("imports", "mlflow", "trimtab.adapters.mlflow.importing:open_store", "mlflow", ("urllib3",)),
    Offer("experiments", "comet", "trimtab.adapters.comet.experiments:open_tracker", "comet", ("comet_ml",)),
    Offer("experiments", "wandb", "trimtab.adapters.wandb.experiments:open_tracker", "wandb", ("wandb",)),
)


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


def kind(stage: str, name: str, offers: Sequence[Offer] = OFFERS) -> SourceKind | None:
    """What may be declared of the source of this name, None where there is none. That of another package says for
    itself what is wrong with it once it is opened."""
    for offer in offers:
        if (offer.stage, offer.name) == (stage, name):
            return cast("SourceKind", _attribute(offer.kind)) if offer.kind else SourceKind()
    return SourceKind(options=None) if entry_points(group=f"trimtab.{stage}", name=name) else None


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
    return _attribute(offer.target)


def _attribute(target: str) -> Any:
    module, attribute = target.split(":")
    return getattr(import_module(module), attribute)
