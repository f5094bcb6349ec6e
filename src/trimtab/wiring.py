"""The composition root: from the names in a declaration to the parts that do the work."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec

from trimtab.declaration.edited import Edited
from trimtab.declaration.load import load
from trimtab.declaration.system import Replay, System
from trimtab.errors import DeclarationError, TrimtabError, end_if_told
from trimtab.records.base import SimulatedClock, SystemClock
from trimtab.records.blobs import Blobs
from trimtab.records.journal import Draft
from trimtab.records.layout import Layout
from trimtab.records.ledger import Ledger, StaleFence

if TYPE_CHECKING:
    from datetime import datetime

    import polars as pl

    from trimtab.deployment.local import LocalServer
    from trimtab.deployment.port import Target
    from trimtab.loop.ports import Datasets, Serving
    from trimtab.loop.reconcile import Loop, Watcher
    from trimtab.loop.replay import Tick
    from trimtab.loop.served import ServedReleases
    from trimtab.records.base import Clock
    from trimtab.records.facts import BacktestFinished
    from trimtab.records.lease import Lease
    from trimtab.training.trainer import Trainer


@dataclass
class Place:
    """One system and where its state lies."""

    system: System
    layout: Layout
    ledger: Ledger
    blobs: Blobs

    def keep(self) -> Lease:
        """The lease of the one process that goes on running this system's loop."""
        from trimtab.records.lease import Lease  # psutil comes with it

        return Lease(self.ledger, "watch")

    @contextmanager
    def lead(self) -> Iterator[Lease]:
        """Run this system's loop, as one process at a time may; should the lease be lost, nothing is written any more.
        A process that was killed has lost it at once."""
        from trimtab.records.lease import Lease

        self.blobs.sweep(SystemClock().now() - timedelta(days=1))  # what killed processes had half written
        with Lease(self.ledger) as lease, self.ledger.fenced(lease.token):
            yield lease


@contextmanager
def open_place(
    path: str | Path,
    state: Path | None,
    *,
    create: bool = True,
    memory: bool = False,
    lasting: bool = True,
    until: datetime | None = None,
    window: str | None = None,
) -> Iterator[Place]:
    """Load a declaration and open its state; without `create` a missing ledger is an error that says what to run.

    `memory` keeps the ledger in memory only, and `lasting` false lets a power cut (not a killed process) take its
    newest facts: for replays. `until` ends the declared span early, and `window` overrides how far training looks back.
    """
    system = _adjusted(load(Path(path)), until, window)
    layout = Layout(state if state is not None else Path(system.folder) / ".trimtab")
    if create:
        layout.root.mkdir(parents=True, exist_ok=True)
    with Ledger.open(None if memory else layout.ledger, create or memory, survive_power_cut=lasting) as ledger:
        yield Place(system=system, layout=layout, ledger=ledger, blobs=Blobs(layout.blobs))


def place_of(path: str | Path, state: Path | None) -> Path:
    """The state folder of a system."""
    return state if state is not None else Path(load(Path(path)).folder) / ".trimtab"


def _adjusted(system: System, until: datetime | None, window: str | None) -> System:
    from trimtab.declaration.units import parse_duration

    if until is not None:
        span = msgspec.structs.replace(span_of(system), end=until)
        system = msgspec.structs.replace(system, replay=span)
    if window is not None:
        model = msgspec.structs.replace(system.model, window=parse_duration(window))
        system = msgspec.structs.replace(system, model=model)
    return system


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
    from trimtab.loop.act import Actor
    from trimtab.loop.gate import Gate
    from trimtab.loop.observe import Observer
    from trimtab.loop.reconcile import Loop
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
    from trimtab.loop.replay import Replayer, Script
    from trimtab.training.trainer import Trainer

    system = under_policy(place.system, policy)
    span = msgspec.structs.replace(span_of(system), incidents=())
    serving = EmbeddedServing(place.blobs)
    datasets = HistoricDatasets(system, history)
    with Ledger.open(None) as ledger, Trainer(place.blobs, place.layout.work) as trainer:
        loop = build_loop(
            place,
            system=system,
            ledger=ledger,
            datasets=datasets,
            serving=serving,
            say=say,
            trainer=trainer,
            often=True,
            drift_always=False,
        )
        Replayer(
            system=system,
            span=span,
            script=Script(history, system, span.start),
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


def free_port() -> int:
    """A port of this machine's loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def server_of(
    place: Place, *, port: int | None = None, linked: bool = False, processes: int | None = None
) -> LocalServer:
    """The declared prediction server on this machine; `processes` instead of the declared number (0: one for each
    core). With `port` it is there for this process alone: at that port of the loopback, without gRPC and TLS."""
    from trimtab.deployment.local import LocalServer
    from trimtab.serving.config import server_config

    spec = place.system.serve
    if port is not None:
        spec = msgspec.structs.replace(spec, host="127.0.0.1", port=port, grpc_port=None, tls_cert="", tls_key="")
    if processes is not None:
        spec = msgspec.structs.replace(spec, processes=processes)
    token = os.environ.get(spec.token_env, "").strip() or None
    config = server_config(spec, place.system.name, os.environ, place.layout.tokens, Path(place.system.folder))
    return LocalServer(place.layout.root, config, token=token, linked=linked)


def served(place: Place, target: Target) -> ServedReleases:
    """What `target` answers with, and the telemetry of this state."""
    from trimtab.loop.served import ServedReleases
    from trimtab.serving.telemetry.reader import TelemetryReader

    several = place.system.task == "multiclass_classification"
    return ServedReleases(target, TelemetryReader(place.layout.telemetry), several=several)


def replay(place: Place, *, tick: Tick, say: Watcher, started: Callable[[], None]) -> BacktestFinished:
    """Replay the declared span through the real server, telemetry, store and loop; `started` is called once the first
    model is live. A replay that was killed goes on where it was."""
    from trimtab.loop.backtest import summarise
    from trimtab.loop.replay import Replayer, Script
    from trimtab.loop.served import HttpTraffic
    from trimtab.loop.stored import StoredDatasets
    from trimtab.training.trainer import Trainer

    system, span = place.system, span_of(place.system)
    history = history_of(system)
    server = server_of(place, port=free_port(), linked=True)
    trainer = Trainer(place.blobs, place.layout.work)
    server.start()
    server.keep_running()
    traffic = HttpTraffic(system, server, server.token)
    try:
        serving = served(place, server)
        datasets = StoredDatasets(system, place.layout.data, place.ledger)
        loop = build_loop(
            place,
            system=system,
            ledger=place.ledger,
            datasets=datasets,
            serving=serving,
            say=say,
            trainer=trainer,
            often=True,
        )

        def first(moment: datetime, done: int, steps: int) -> None:
            if done == 0:
                started()
            tick(moment, done, steps)

        Replayer(
            system=system,
            span=span,
            script=Script(history, system, span.start),
            loop=loop,
            traffic=traffic,
            clock=SimulatedClock(span.start),
            ledger=place.ledger,
        ).run(first)
        return summarise(
            "declared",
            system=system,
            span=span,
            ledger=place.ledger,
            blobs=place.blobs,
            predictions=serving.predictions(span.start, span.end),
            history=history,
        )
    finally:
        traffic.close()
        server.stop()
        trainer.close()


def keep_backtests(place: Place, results: Sequence[BacktestFinished]) -> None:
    """Put results into the ledger, once each."""
    span = span_of(place.system)
    drafts = [
        Draft(key=f"backtest:{r.policy}:{place.system.digest}:{r.end:%Y-%m-%d}", fact=r, at=span.end) for r in results
    ]
    place.ledger.append_all(drafts)


def running(
    place: Place, *, say: Watcher | None, at: datetime | None = None, server: LocalServer | None = None
) -> tuple[Loop, Clock]:
    """The loop over what is stored and served now; `at` makes it act as if it were that moment. `server` is the one
    that serves (default: whichever runs on this state)."""
    from trimtab.deployment.routes_file import RoutesFile
    from trimtab.loop.online import publisher
    from trimtab.loop.stored import StoredDatasets
    from trimtab.training.trainer import Trainer

    found = server or server_of(place)
    target = found if server is not None or found.status() is not None else RoutesFile(place.layout.root)
    datasets = StoredDatasets(place.system, place.layout.data, place.ledger, remember=True)
    loop = build_loop(
        place,
        system=place.system,
        ledger=place.ledger,
        datasets=datasets,
        serving=served(place, target),
        say=say or quiet,
        trainer=Trainer(place.blobs, place.layout.work, threads=max(1, (os.cpu_count() or 2) - 1)),
        publish=publisher(place.system, datasets.stores, place.layout.features, say or quiet),
    )
    return loop, SystemClock() if at is None else SimulatedClock(at)


def watch(place: Place, *, every: float, say: Watcher, server: LocalServer | None = None) -> NoReturn:
    """Settle every `every` seconds, for good, by the declaration as it stands then. A round that fails is told and run
    again later; what is live goes on being served. Between two rounds a person may promote or roll back."""
    edited = Edited(place.system)
    loop, clock = running(place, say=say, server=server)
    while True:
        try:
            system = edited.now()
            if system is not None:
                say("declared", f"{system.path} was changed and is in force from here on")
                place = replace(place, system=system)
                loop, clock = running(place, say=say, server=server)
            with place.lead():
                loop.settle(clock.now())
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


def prepare_server(place: Place, *, processes: int | None = None) -> LocalServer:
    """Write what a server needs to start on this state: its settings, and the routes that the ledger asks for."""
    from trimtab.deployment.routes_file import RoutesFile
    from trimtab.loop.reconcile import wanted_routes
    from trimtab.records.facts import ReleaseMoved
    from trimtab.serving.config import write_config

    server = server_of(place, processes=processes)
    write_config(place.layout.serve_config, server.config)
    moves = place.ledger.count(ReleaseMoved)
    if moves:
        RoutesFile(place.layout.root).apply(wanted_routes(place.system, place.ledger, moves, SystemClock().now()))
    return server
