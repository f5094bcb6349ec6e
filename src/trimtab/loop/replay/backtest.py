"""What a policy would have been worth: history replayed through the loop with the real training and gates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trimtab.declaration.system import Replay, System
from trimtab.inference.encode import encode_frame
from trimtab.inference.features_code import apply_features
from trimtab.inference.model import load_model
from trimtab.loop.passes.evidence import compare, deciding_metric, scores_of, truth_of
from trimtab.loop.past.history import MOMENT
from trimtab.loop.replay.steps import between
from trimtab.measures.metrics.declared import value_of
from trimtab.monitoring.business import value_difference
from trimtab.records.base import Record
from trimtab.records.blobs import Blobs
from trimtab.records.facts import ModelTrained, ReleaseMoved, TrainingTried, VerdictsGiven
from trimtab.records.ledger import Ledger
from trimtab.records.studies import BacktestFinished, Promotion, Refusal

if TYPE_CHECKING:
    import polars as pl


class Backtest(Record, kw_only=True):
    """The declared policy and those it is compared with. `differences` maps a policy to the declared one's value minus
    that policy's, with the interval over days."""

    system: str
    start: datetime
    end: datetime
    currency: str
    policies: tuple[BacktestFinished, ...]
    differences: dict[str, tuple[float, float, float]]


def summarise(
    policy: str,
    *,
    system: System,
    span: Replay,
    ledger: Ledger,
    blobs: Blobs,
    predictions: pl.DataFrame,
    history: pl.DataFrame,
) -> BacktestFinished:
    """Everything one policy's run came to.

    `predictions` are all answers of the run (live and canary; id, at, score, label, threshold); `history` all rows, to
    judge promotions on what came after them.
    """
    import polars as pl  # heavy: only where rows are touched

    answered = predictions.filter(pl.col("stage") != "shadow").sort("at", "id")
    labelled = answered.filter(pl.col("label").is_not_null())
    worth = (
        value_of(
            labelled["label"].to_numpy(),
            scores_of(labelled["score"]),
            _threshold(ledger),
            system.value,
            system.task,
        )
        if system.value is not None
        else np.zeros(labelled.height)
    )
    moves = [(entry.at, entry.fact) for entry in ledger.entries(ReleaseMoved)]
    total = float(worth.sum())
    return BacktestFinished(
        policy=policy,
        start=span.start,
        end=span.end,
        predictions=answered.height,
        value=total,
        per_1000=total / max(1, labelled.height) * 1000,
        retrainings=max(0, ledger.count(TrainingTried) - 1),
        releases=sum(move.to == "live" for _, move in moves),
        refused=sum(move.to == "rejected" for _, move in moves),
        rolled_back=sum(move.to == "rolled_back" for _, move in moves),
        holds=_holds(ledger),
        daily=_by_day(labelled["at"], worth),
        promotions=_promotions(moves, system=system, span=span, ledger=ledger, blobs=blobs, history=history),
        refusals=tuple(
            Refusal(release=move.release, at=at, stage=move.to, why=move.why)
            for at, move in moves
            if move.to in ("rejected", "rolled_back")
        ),
    )


def _by_day(at: pl.Series, worth: NDArray[np.float64]) -> tuple[tuple[str, int, float], ...]:
    """(day, rows, worth) in the order of `at`, which is sorted. Summed in that order: threads would each time add in
    another one, and come to other last digits."""
    days = at.dt.strftime("%Y-%m-%d").to_numpy()
    names, starts, counts = np.unique(days, return_index=True, return_counts=True)
    sums = np.add.reduceat(worth, starts) if len(names) else worth
    return tuple(zip(names.tolist(), counts.tolist(), sums.tolist(), strict=True))


def _threshold(ledger: Ledger) -> float:
    entry = ledger.last(ModelTrained)
    return entry.fact.bundle.signature.threshold if entry else 0.5


def _holds(ledger: Ledger) -> dict[str, float]:
    """Share of the passes with a decided live verdict in which each requirement was met."""
    decided: Counter[str] = Counter()
    met: Counter[str] = Counter()
    for entry in ledger.entries(VerdictsGiven, prefix="verdicts:live:"):
        for verdict in entry.fact.verdicts:
            if verdict.status != "unknown":
                decided[verdict.metric] += 1
                met[verdict.metric] += verdict.status == "met"
    return {metric: met[metric] / count for metric, count in sorted(decided.items())}


def _promotions(
    moves: list[tuple[datetime, ReleaseMoved]],
    *,
    system: System,
    span: Replay,
    ledger: Ledger,
    blobs: Blobs,
    history: pl.DataFrame,
) -> tuple[Promotion, ...]:
    """Each promotion judged on the rows that followed it, up to the next: the replaced model is scored beside it."""
    lives = [(at, move) for at, move in moves if move.to == "live"]
    found = []
    for position in range(1, len(lives)):
        (_, before), (at, now) = lives[position - 1], lives[position]
        if before.model == now.model:
            continue
        until = lives[position + 1][0] if position + 1 < len(lives) else span.end
        rows = between(history, MOMENT, at, until)
        rows = rows.filter(rows[str(system.labelled.label)].is_not_null())
        if rows.height < 2:
            continue
        champion, challenger = (_model(ledger, move.model) for move in (before, now))
        paired = compare(
            system,
            y=truth_of(rows, system, challenger),
            champion=_scored(blobs, champion, rows),
            challenger=_scored(blobs, challenger, rows),
            thresholds=(champion.bundle.signature.threshold, challenger.bundle.signature.threshold),
            moments=rows[MOMENT].to_physical().to_numpy(),
        )
        found.append(
            Promotion(
                release=now.release,
                replaced=before.release,
                at=at,
                metric=deciding_metric(system),
                difference=float(paired.difference),
                low=float(paired.low),
                high=float(paired.high),
                rows=paired.rows,
                verdict=paired.verdict,
            )
        )
    return tuple(found)


def _model(ledger: Ledger, name: str) -> ModelTrained:
    entry = ledger.get(f"model:{name}")
    if entry is None or not isinstance(entry.fact, ModelTrained):
        raise LookupError(f"model {name} is not in the ledger")
    return entry.fact


def _scored(blobs: Blobs, model: ModelTrained, rows: pl.DataFrame) -> NDArray[np.float64]:
    matrix = encode_frame(apply_features(blobs, model.bundle, rows), model.bundle.signature)
    return np.asarray(load_model(blobs, model.bundle).scores(matrix), dtype=np.float64)


def side_by_side(system: System, policies: Sequence[BacktestFinished]) -> Backtest:
    """The policies together; the first is the one the others are compared with."""
    first = policies[0]
    differences = {}
    for other in policies[1:]:
        found = value_difference(first.daily, other.daily)
        if found.figure is not None and found.low is not None and found.high is not None:
            differences[other.policy] = (found.figure, found.low, found.high)
    return Backtest(
        system=system.name,
        start=first.start,
        end=first.end,
        currency=system.value.currency if system.value else "",
        policies=tuple(policies),
        differences=differences,
    )
