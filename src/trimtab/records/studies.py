"""The facts of what was tried beside the loop: backtests of policies, experiments, searches."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import UNSET, UnsetType

from trimtab.records.base import Record
from trimtab.records.fact import Fact
from trimtab.records.model import Stage


class Promotion(Record, kw_only=True):
    """A release that became live in a backtest, and how it did against the one it replaced on the rows that followed,
    until the next promotion: the difference in `metric` is oriented so that above zero is better."""

    release: str
    replaced: str
    at: datetime
    metric: str
    difference: float
    low: float
    high: float
    rows: int
    verdict: Literal["better", "worse", "no_difference"]


class Refusal(Record, kw_only=True):
    """A release that was turned away or rolled back, where, and why."""

    release: str
    at: datetime
    stage: Stage
    why: str


class BacktestFinished(Fact, kw_only=True):
    """The result of one policy over one span. Key: `backtest:<policy>:<digest of declaration, data and span>`.

    `value` is the sum over the span, in the declared currency; `daily` holds (day, predictions, value) rows.
    """

    policy: str
    start: datetime
    end: datetime
    predictions: int
    value: float
    per_1000: float
    retrainings: int
    releases: int
    refused: int
    rolled_back: int
    holds: dict[str, float]
    daily: tuple[tuple[str, int, float], ...]
    promotions: tuple[Promotion, ...] = ()
    refusals: tuple[Refusal, ...] = ()


class Round(Record, kw_only=True):
    """One look of an experiment: the effect over the first `folds` periods, its interval at this look's level, and what
    could be concluded. `models` are the identities of the reference and the changed model of each seed, in the newest
    period that this look added."""

    folds: int
    difference: float
    low: float
    high: float
    level: float
    rows: int
    blocks: int
    answer: Literal["supported", "refuted", "inconclusive"]
    models: tuple[tuple[str, str], ...]


class ExperimentFinished(Fact, kw_only=True):
    """A hypothesis and what came of it. Key: `experiment:<name>:<digest of the two arms and their data>`.

    `expect` is the expectation as declared; differences are changed less reference, in `metric`'s base unit.
    `smallest_detectable` is the true difference from the margin that the last look would have found four times in five.
    `changed_by` says in words what the arms differ in; `why` the verdict in one line.
    """

    name: str
    hypothesis: str
    expect: str
    metric: str
    margin: float
    verdict: Literal["supported", "refuted", "inconclusive"]
    why: str
    reference: float
    changed: float
    difference: float
    low: float
    high: float
    smallest_detectable: float | None
    dataset: str
    dataset_version: str
    changed_by: tuple[str, ...]
    rounds: tuple[Round, ...]


class TrialFinished(Fact, kw_only=True):
    """One trial of a search. Key: `trial:<search>:<number>`; number 0 is what was declared.

    `figures` are means over the periods it was measured on, empty without a model. `broken` says by how much each
    requirement it misses is missed, relative to the limit. `given_up`: it was behind the others before it was measured
    in full; `rungs` are its figures in the first objective where that was judged.
    """

    search: str
    number: int
    params: dict[str, Any]
    model: str
    figures: dict[str, float]
    broken: dict[str, float]
    given_up: bool
    why: str
    # Left out of the JSON form when not set, so that what was written before it existed keeps its digest.
    rungs: tuple[float, ...] | UnsetType = UNSET

    @property
    def feasible(self) -> bool:
        """Whether it came to a model that holds every requirement that was measured of it."""
        return bool(self.figures) and not self.broken and not self.given_up


class SearchFinished(Fact, kw_only=True):
    """What a search came to. Key: `search:<search>:<trials>`.

    `declared` is the digest of the declared search. `front` are the numbers of the feasible trials that none beats in
    every objective; `chosen` is the one that goes on by the `rule` that is declared, `params` its values, and
    `passed_over` says of every other one why it does not.
    """

    search: str
    declared: str
    objectives: tuple[str, ...]
    trials: int
    feasible: int
    front: tuple[int, ...]
    chosen: int | None
    params: dict[str, Any]
    figures: dict[str, float]
    stopped: str
    rule: str | UnsetType = UNSET
    passed_over: dict[str, str] | UnsetType = UNSET
