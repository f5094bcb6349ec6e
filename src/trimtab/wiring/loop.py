"""The loop of the declared parts, over what is stored and served."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from trimtab.declaration.edited import Edited
from trimtab.declaration.system import System
from trimtab.errors import TrimtabError, end_if_told
from trimtab.loop.trials.tuned import tuned
from trimtab.records.base import SimulatedClock, SystemClock
from trimtab.records.ledger import Ledger, StaleFence
from trimtab.wiring.kinds import source_kinds
from trimtab.wiring.place import Place
from trimtab.wiring.serving import served, server_of
from trimtab.wiring.tracking import copied

if TYPE_CHECKING:
    from datetime import datetime

    from trimtab.deployment.local import LocalServer
    from trimtab.loop.passes.reconcile import Loop, Watcher
    from trimtab.loop.ports import Datasets, Serving
    from trimtab.records.base import Clock
    from trimtab.training.trainer import Trainer


def quiet(_: str, __: str) -> None:
    """A watcher that says nothing."""


def build_loop(
    place: Place,
    *,
    system: System,
    ledger: Ledger,
    datasets: Datasets,
    serving: Serving,
    say: Watcher,
    trainer: Trainer,
    often: bool = False,
    drift_always: bool = True,
    publish: Callable[[datetime], None] | None = None,
) -> Loop:
    """A loop of the declared parts around the given datasets, serving and trainer; `often`: it will train many times;
    `drift_always`: it measures drift even where no cause waits for it; `publish` makes features known to servers."""
    from trimtab.loop.passes.act import Actor
    from trimtab.loop.passes.gate import Gate
    from trimtab.loop.passes.observe import Observer
    from trimtab.loop.passes.reconcile import Loop
    from trimtab.loop.source_code import SourceCode

    observer = Observer(
        system=system,
        ledger=ledger,
        blobs=place.blobs,
        datasets=datasets,
        serving=serving,
        code=SourceCode(system).digests,
        drift_always=drift_always,
    )
    gate = Gate(system=system, ledger=ledger, blobs=place.blobs, datasets=datasets)
    actor = Actor(
        system=system,
        ledger=ledger,
        datasets=datasets,
        observer=observer,
        trainer=trainer,
        gate=gate,
        warm=often,
    )
    return Loop(
        system=system, ledger=ledger, serving=serving, observer=observer, actor=actor, watch=say, publish=publish
    )


def running(
    place: Place, *, say: Watcher | None, at: datetime | None = None, server: LocalServer | None = None
) -> tuple[Loop, Clock]:
    """The loop over what is stored and served now; `at` makes it act as if it were that moment. `server` is the one
    that serves (default: whichever runs on this state)."""
    from trimtab.deployment.routes_file import RoutesFile
    from trimtab.loop.past.online import publisher
    from trimtab.training.trainer import Trainer
    from trimtab.wiring.labels import datasets_of

    system = tuned(place.system, place.ledger)
    found = server or server_of(place)
    target = found if server is not None or found.status() is not None else RoutesFile(place.layout.root)
    datasets = datasets_of(place, system, remember=True)
    loop = build_loop(
        place,
        system=system,
        ledger=place.ledger,
        datasets=datasets,
        serving=served(place, target),
        say=say or quiet,
        trainer=Trainer(place.blobs, place.layout.work, threads=max(1, (os.cpu_count() or 2) - 1)),
        publish=publisher(system, datasets.stores, place.layout.features, say or quiet),
    )
    return loop, SystemClock() if at is None else SimulatedClock(at)


def watch(place: Place, *, every: float, say: Watcher, server: LocalServer | None = None) -> NoReturn:
    """Settle every `every` seconds, for good, by the declaration as it stands then. A round that fails is told and run
    again later; what is live goes on being served. Between two rounds a person may promote or roll back."""
    edited = Edited(place.system, source_kinds())
    loop, clock = running(place, say=say, server=server)
    model = tuned(place.system, place.ledger).model
    while True:
        try:
            system = edited.now()
            chosen = tuned(system or place.system, place.ledger).model
            if system is not None:
                say("declared", f"{system.path} was changed and is in force from here on")
                place = replace(place, system=system)
                loop, clock = running(place, say=say, server=server)
            elif chosen != model:
                say("searched", "a search has chosen another model, which is in force from here on")
                loop, clock = running(place, say=say, server=server)
            model = chosen
            with place.lead():
                loop.settle(clock.now())
            copied(place, say)
        except StaleFence:  # another process leads: this one has to go
            raise
        except TrimtabError as error:
            end_if_told(error)
            say("round", f"failed: {error.in_one_line()}; it is tried again in {every:g} s")
        except Exception as error:  # whatever it is, it must not take down what is served
            end_if_told(error)
            told = f"a fault in Trimtab: {type(error).__name__}: {error}"
            say("round", f"failed by {told}; it is tried again in {every:g} s")
        time.sleep(every)
