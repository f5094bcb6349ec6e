"""The loop over the past: replays and backtests."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from trimtab.declaration.system import System
from trimtab.records.base import SimulatedClock
from trimtab.records.journal import Draft
from trimtab.records.ledger import Ledger
from trimtab.wiring.loop import build_loop, quiet
from trimtab.wiring.place import Place, span_of
from trimtab.wiring.serving import free_port, served, server_of
from trimtab.wiring.tracking import copied

if TYPE_CHECKING:
    from datetime import datetime

    import polars as pl

    from trimtab.experiments.spec import ExperimentSpec
    from trimtab.loop.passes.reconcile import Watcher
    from trimtab.loop.ports import Datasets
    from trimtab.loop.replay.steps import Tick
    from trimtab.loop.trials.effects import Effects
    from trimtab.loop.trials.experiments import Tell
    from trimtab.loop.trials.search import Tell as SearchTell
    from trimtab.records.journal import Entry
    from trimtab.records.studies import BacktestFinished, ExperimentFinished, SearchFinished


def under_policy(system: System, policy: str) -> System:
    """The same system with the policy that `--policy` names."""
    from trimtab.declaration.tables.policy import parse_policy_argument

    return msgspec.structs.replace(system, policy=parse_policy_argument(policy, system.policy))


def history_of(place: Place) -> pl.DataFrame:
    """All rows of the declared span, with features."""
    from trimtab.loop.past.history import load_history
    from trimtab.wiring.labels import opener_of

    return load_history(place.system, span_of(place.system).end, opener_of(place))


def experiment(place: Place, spec: ExperimentSpec, *, at: datetime, tell: Tell) -> tuple[ExperimentFinished, bool]:
    """Run a declared experiment on the rows whose truth is known at a moment: the collected ones, or where nothing was
    collected those of the sources. The result, and whether it was there already."""
    from trimtab.loop.trials.experiments import run_experiment
    from trimtab.training.trainer import Trainer

    with Trainer(place.blobs, place.layout.work, threads=max(1, (os.cpu_count() or 2) - 1)) as trainer:
        found = run_experiment(
            spec,
            system=place.system,
            datasets=_known(place, at),
            now=at,
            ledger=place.ledger,
            blobs=place.blobs,
            trainer=trainer,
            tell=tell,
        )
    copied(place)
    return found


def effects(place: Place, spec: ExperimentSpec, entry: Entry[ExperimentFinished]) -> Effects:
    """What lies behind the verdict of an experiment, as far as its models and rows can still be had."""
    from trimtab.errors import TrimtabError
    from trimtab.loop.analysis.analyse import groups_of
    from trimtab.loop.trials.effects import effects_of

    try:
        rows = _known(place, entry.at).labelled(entry.at)
    except TrimtabError:
        rows = None
    columns = groups_of(place.system)
    return effects_of(spec, entry.fact, system=place.system, blobs=place.blobs, rows=rows, columns=columns)


def search(place: Place, *, at: datetime, tell: SearchTell) -> SearchFinished:
    """Run the declared search on the rows whose truth is known at a moment, as `experiment` finds them."""
    from trimtab.loop.trials.search import run_search
    from trimtab.training.trainer import Trainer
    from trimtab.wiring.serving import bench_of

    system = place.system
    workers = system.model.search.workers if system.model.search is not None else 1
    threads = max(1, ((os.cpu_count() or 2) - 1) // workers)
    found = run_search(
        system,
        datasets=_known(place, at),
        now=at,
        ledger=place.ledger,
        blobs=place.blobs,
        trainer=lambda: Trainer(place.blobs, place.layout.work, threads=threads),
        bench=lambda: bench_of(place),
        tell=tell,
    )
    copied(place)
    return found


def _known(place: Place, at: datetime) -> Datasets:
    """What was collected, or where nothing was what the sources have."""
    from trimtab.loop.past.history import HistoricDatasets, load_history
    from trimtab.wiring.labels import datasets_of, opener_of

    datasets = datasets_of(place, place.system)
    if datasets.known(at)[0]:
        return datasets
    return HistoricDatasets(place.system, load_history(place.system, at, opener_of(place)))


def backtest(place: Place, policy: str, history: pl.DataFrame, *, tick: Tick, say: Watcher = quiet) -> BacktestFinished:
    """Replay the declared span through one policy, in this process, with a ledger of its own in memory."""
    from trimtab.loop.past.history import HistoricDatasets, load_others
    from trimtab.loop.replay.backtest import summarise
    from trimtab.loop.replay.steps import Replayer, Script
    from trimtab.loop.targets.embedded import EmbeddedServing
    from trimtab.training.trainer import Trainer
    from trimtab.wiring.labels import opener_of

    system = under_policy(place.system, policy)
    span = msgspec.structs.replace(span_of(system), incidents=())
    serving = EmbeddedServing(place.blobs)
    datasets = HistoricDatasets(system, history, load_others(system, span.end, opener_of(place)))
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


def replay(place: Place, *, tick: Tick, say: Watcher, started: Callable[[], None]) -> BacktestFinished:
    """Replay the declared span through the real server, telemetry, store and loop; `started` is called once the first
    model is live. A replay that was killed goes on where it was."""
    from trimtab.loop.replay.backtest import summarise
    from trimtab.loop.replay.steps import Replayer, Script
    from trimtab.loop.targets.served import HttpTraffic
    from trimtab.training.trainer import Trainer
    from trimtab.wiring.labels import datasets_of

    system, span = place.system, span_of(place.system)
    history = history_of(place)
    server = server_of(place, port=free_port(), linked=True)
    trainer = Trainer(place.blobs, place.layout.work)
    server.start()
    server.keep_running()
    traffic = HttpTraffic(system, server, server.token)
    try:
        serving = served(place, server)
        datasets = datasets_of(place, system)
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
