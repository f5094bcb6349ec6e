"""What the loop needs of the world around it. A replay, a backtest and a running system each bring their own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from trimtab.errors import PermanentError
from trimtab.records.facts import DatasetCommitted
from trimtab.records.model import ModelBundle, Routes
from trimtab.records.requirement import Estimate, Verdict

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from trimtab.monitoring.live import ServingFigures


Label = float | str
"""A truth: a number, or the name of a class."""


class PartlyCollected(PermanentError):  # noqa: N818 - it says what happened
    """Some datasets could not be collected; what came of the others is in `commits`."""

    def __init__(self, message: str, commits: Sequence[DatasetCommitted], *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.commits = tuple(commits)


class Datasets(Protocol):
    """The declared datasets, as far as they can be known at a moment."""

    def collect(self, now: datetime) -> Sequence[DatasetCommitted]:
        """Fetch what is new at `now` into dataset versions; collecting twice at one moment adds nothing. Raises
        PartlyCollected when a dataset cannot be had, once the others were tried."""
        ...

    def notes(self) -> Sequence[str]:
        """What the last collection left for later, and why; one line each."""
        ...

    def known(self, now: datetime) -> tuple[int, datetime | None]:
        """Rows whose truth is known at `now`, and the newest of their times."""
        ...

    def labelled(self, now: datetime) -> pl.DataFrame:
        """Those rows with their features joined, in order of time and key."""
        ...

    def contents(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Those rows with the bytes of their files, where a version holds digests in their place."""
        ...

    def version(self, now: datetime) -> str:
        """The version of the labelled dataset at `now`."""
        ...

    def verdicts(self, now: datetime) -> tuple[Verdict, ...]:
        """Verdicts on every `data.` and `labels.` requirement."""
        ...

    def label_verdicts(self, now: datetime) -> tuple[Verdict, ...]:
        """Verdicts on every `labels.` requirement; none where nothing is known of annotators, as in a backtest."""
        ...


class Traffic(Protocol):
    """The callers of a replay: they ask for predictions and later tell the truth."""

    def predict(self, rows: pl.DataFrame, ids: Sequence[str]) -> None:
        """Ask for one prediction a row, at the moment in its column `_asked_at`; returns when all are answered."""
        ...

    def truth(self, ids: Sequence[str], labels: Sequence[Label], at: datetime) -> None:
        """Tell what became of earlier predictions."""
        ...

    def incarnation(self) -> int:
        """Which life of the server answers; it changes when the server was started again."""
        ...

    def drain(self) -> None:
        """Return when everything that was asked and told stands in the telemetry, of shadow releases too."""
        ...


class Serving(Protocol):
    """Where releases answer, and the record of what they answered."""

    def apply(self, routes: Routes) -> None:
        """Put the routes in force; returns when they are. Applying the same generation again changes nothing."""
        ...

    def generation(self) -> int:
        """The generation now wanted, 0 before the first."""
        ...

    def predictions(self, since: datetime, until: datetime) -> pl.DataFrame:
        """Predictions made in [since, until): id, at, release, model, stage, generation, score, label,
        truth_at, latency.

        `label` is null until its truth was told; `generation` is that of the routes in force.
        """
        ...

    def matrix(
        self, release: str, since: datetime, until: datetime
    ) -> tuple[NDArray[np.float32], list[str], NDArray[np.int64]]:
        """The feature rows that `release` scored in [since, until), their ids, and their moments in microseconds. Where
        only a share of the inputs is kept, these are the kept ones, each as likely to be here as any other."""
        ...

    def figures(self, since: datetime, until: datetime) -> ServingFigures | None:
        """What the server measured of itself in [since, until); None where nothing real is served."""
        ...


class Bench(Protocol):
    """Where a model is served to be measured, before it answers anybody."""

    def measure(self, name: str, bundle: ModelBundle, rows: pl.DataFrame) -> dict[str, Estimate]:
        """The `serving.*` and `resources.memory` figures of model `name` on the declared server, asked for `rows`.
        Raises PermanentError where it cannot be served."""
        ...
