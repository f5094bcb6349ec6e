"""The composition root: from the names in a declaration to the parts that do the work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trimtab.declaration.load import load
from trimtab.declaration.system import Replay, System
from trimtab.errors import DeclarationError
from trimtab.records.base import SimulatedClock
from trimtab.records.blobs import Blobs
from trimtab.records.layout import Layout
from trimtab.records.lease import Lease
from trimtab.records.ledger import Ledger

if TYPE_CHECKING:
    import polars as pl

    from trimtab.loop.ports import Datasets, Serving
    from trimtab.loop.reconcile import Loop, Watcher
    from trimtab.loop.replay import Tick
    from trimtab.records.facts import BacktestFinished


@dataclass
class Place:
    """One system and where its state lies."""

    system: System
    layout: Layout
    ledger: Ledger
    blobs: Blobs

    def lead(self) -> Lease:
        """The lease that lets one process at a time run this system's loop."""
        return Lease(self.ledger)


@contextmanager
def open_place(path: str | Path, state: Path | None, *, create: bool = True) -> Iterator[Place]:
    """Load a declaration and open its state; without `create` a missing ledger is an error that says what to run."""
    system = load(Path(path))
    layout = Layout(state if state is not None else Path(system.folder) / ".trimtab")
    if create:
        layout.root.mkdir(parents=True, exist_ok=True)
    with Ledger.open(layout.ledger, create) as ledger:
        yield Place(system=system, layout=layout, ledger=ledger, blobs=Blobs(layout.blobs))


def quiet(_: str, __: str) -> None:
    """A watcher that says nothing."""


def build_loop(
    place: Place, *, system: System, ledger: Ledger, datasets: Datasets, serving: Serving, say: Watcher, threads: int
) -> Loop:
    """A loop of the declared parts around the given datasets and serving."""
    from trimtab.loop.act import Actor
    from trimtab.loop.gate import Gate
    from trimtab.loop.observe import Observer
    from trimtab.loop.reconcile import Loop
    from trimtab.loop.source_code import SourceCode
    from trimtab.training.trainer import Trainer

    trainer = Trainer(place.blobs, place.layout.work, threads=threads)
    observer = Observer(
        system=system,
        ledger=ledger,
        blobs=place.blobs,
        datasets=datasets,
        serving=serving,
        code=SourceCode(system).digests,
    )
    gate = Gate(system=system, ledger=ledger, blobs=place.blobs, datasets=datasets)
    actor = Actor(system=system, ledger=ledger, datasets=datasets, observer=observer, trainer=trainer, gate=gate)
    return Loop(system, ledger, serving, observer, actor, say)


def span_of(system: System) -> Replay:
    """The declared span of replays; an error that says what to write when there is none."""
    if system.replay is None:
        raise DeclarationError(
            "there is no `[replay]`, so there is no history to go through",
            path=system.path,
            hint='add [replay] with start, end and step = "1 d"',
        )
    return system.replay


def under_policy(system: System, policy: str) -> System:
    """The same system with the policy that `--policy` names."""
    from trimtab.declaration.policy import parse_policy_argument

    return msgspec.structs.replace(system, policy=parse_policy_argument(policy, system.policy))


def history_of(system: System) -> pl.DataFrame:
    """All rows of the declared span, with features."""
    from trimtab.loop.history import load_history

    return load_history(system, span_of(system).end)


def backtest(place: Place, policy: str, history: pl.DataFrame, *, tick: Tick, say: Watcher = quiet) -> BacktestFinished:
    """Replay the declared span through one policy, in this process, with a ledger of its own in memory."""
    from trimtab.loop.backtest import summarise
    from trimtab.loop.embedded import EmbeddedServing
    from trimtab.loop.history import HistoricDatasets
    from trimtab.loop.replay import Replayer

    system = under_policy(place.system, policy)
    span = msgspec.structs.replace(span_of(system), incidents=())
    serving = EmbeddedServing(place.blobs)
    datasets = HistoricDatasets(system, history)
    with Ledger.open(None) as ledger:
        loop = build_loop(
            place, system=system, ledger=ledger, datasets=datasets, serving=serving, say=say, threads=1
        )
        Replayer(
            system=system,
            span=span,
            history=history,
            loop=loop,
            traffic=serving,
            clock=SimulatedClock(span.start),
            ledger=ledger,
            chunk=span.step,
        ).run(tick)
        return summarise(
            policy,
            system=system,
            span=span,
            ledger=ledger,
            blobs=place.blobs,
            predictions=serving.predictions(span.start, span.end),
            history=history,
        )


