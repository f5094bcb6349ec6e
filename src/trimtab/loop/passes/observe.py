"""Look at everything a pass decides on, without changing any of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.declaration.system import System
from trimtab.inference.encode import decode_matrix
from trimtab.loop.passes.evidence import as_fact, compare_all, days, same_rows, scores_of
from trimtab.loop.passes.observation import LastTraining, Observation, Progress
from trimtab.loop.passes.offsets import as_fitted, newest_truth, offset_in_force
from trimtab.loop.people.forgotten import forgotten_by, tainted_models
from trimtab.loop.ports import Datasets, Serving
from trimtab.loop.releases import Releases, ReleaseState, fold
from trimtab.measures.metrics.declared import measurable
from trimtab.monitoring.concept import detect
from trimtab.monitoring.live import SLICED, live_verdicts
from trimtab.monitoring.moving import MovingDrift
from trimtab.monitoring.profile import read_profile
from trimtab.monitoring.recalibration import Recalibration
from trimtab.monitoring.surprise import promises, surprise
from trimtab.records.blobs import Blobs
from trimtab.records.facts import (
    ColumnDrift,
    Compared,
    DatasetCommitted,
    DriftMeasured,
    ModelTrained,
    ReleaseMoved,
    TrainingFailed,
    TrainingTried,
    VerdictsGiven,
)
from trimtab.records.journal import Draft
from trimtab.records.ledger import Ledger
from trimtab.records.metric import is_answered
from trimtab.records.requirement import Verdict

if TYPE_CHECKING:
    from trimtab.loop.passes.answered import AnsweredRows

_SURPRISE_DAYS = 14
_FEWEST_DAYS = 3
"""Days that share their weather are the units of a comparison; two of them decide nothing."""


@dataclass
class Observer:
    """Reads the ledger, the datasets and what was served. What it keeps between passes can be rebuilt from those."""

    system: System
    ledger: Ledger
    blobs: Blobs
    datasets: Datasets
    serving: Serving
    code: Callable[[], tuple[str, str]]
    """Digests of the user's code and of the hyper-parameters as they stand now."""
    drift_always: bool = True
    """Measure drift in every pass; false where only a cause to retrain would look at it, as in a backtest."""
    _models: dict[str, ModelTrained] = field(default_factory=dict)
    _moving: tuple[str, MovingDrift] | None = None
    _answered: AnsweredRows | None = None

    def look(self, now: datetime, turn: int, number: str) -> tuple[Observation, list[Draft]]:
        """The observation of pass `number` and the facts it measured, which go into the ledger with the plan."""
        releases = fold((entry.at, entry.fact) for entry in self.ledger.entries(ReleaseMoved))
        if turn == 1:  # it collects; there is nothing to see before that
            return Observation(now=now, turn=turn, releases=releases, offset=offset_in_force(self.ledger)), []
        known, newest = self.datasets.known(now)
        code, params = self.code()
        data = self.datasets.verdicts(now)
        facts = [self._given("data", self.system.labelled.name, data, number, now)] if data else []
        live: tuple[Verdict, ...] = ()
        drifted: tuple[ColumnDrift, ...] = ()
        concept = ""
        challenger = standby = None
        gone = None
        if releases.live is not None:
            gone = forgotten_by(self.ledger, releases.live.model)
            recent = self._recent(now)
            live = self._live(releases.live, recent, now)
            facts.append(self._given("live", releases.live.release, live, number, now))
            drifted = self._drift(releases.live, now) if self.drift_always or self._waits_for("data_drift") else ()
            if drifted:
                facts.append(self._drift_fact(releases.live, drifted, number, now))
            concept = self._concept(releases.live, now)
            challenger = self._progress(releases, releases.challenger, now)
            standby = self._progress(releases, releases.standby, now)
            facts += [
                Draft(key=f"compared:{c.release}:{c.place}:{c.metric}:{number}", fact=c, at=now)
                for progress in (challenger, standby)
                if progress is not None
                for c in progress.comparisons
            ]
        seen = Observation(
            now=now,
            turn=turn,
            releases=releases,
            known_rows=known,
            known_to=newest,
            code=code,
            params=params,
            last_training=self._last_training(),
            data=data,
            live=live,
            drift=drifted,
            concept=concept,
            challenger=challenger,
            standby=standby,
            tainted=tainted_models(self.ledger),
            schema=self._schema() if self._waits_for("schema_changed") else "",
            forgotten=gone.evidence if gone is not None else "",
            unanswered=gone is not None and gone.unanswered,
        )
        return seen, facts

    def recalibration(self, now: datetime) -> Recalibration:
        """What the newest truth asks to be added to the log odds of answers."""
        return newest_truth(self.system, self.ledger, self.serving, now)

    def _given(self, place: str, subject: str, verdicts: tuple[Verdict, ...], number: str, now: datetime) -> Draft:
        fact = VerdictsGiven(place=place, subject=subject, verdicts=verdicts)
        return Draft(key=f"verdicts:{place}:{subject}:{number}", fact=fact, at=now)

    def _last_training(self) -> LastTraining | None:
        entry = self.ledger.last(TrainingTried)
        if entry is None:
            return None
        tried = entry.fact
        ended = self._ended(tried)
        return LastTraining(
            at=entry.at,
            rows=tried.known_rows,
            code=tried.code,
            params=tried.params,
            failed=ended is not None,
            outside=self._ended_outside() if ended is not None else 0,
        )

    def _ended(self, tried: TrainingTried) -> TrainingFailed | None:
        """How a training ended that began and came to no model."""
        entry = self.ledger.get(f"training_failed:{tried.model}:{tried.action}") if tried.model else None
        return entry.fact if entry is not None and isinstance(entry.fact, TrainingFailed) else None

    def _ended_outside(self) -> int:
        """How many of the newest trainings in a row were ended by somebody else."""
        ended = (self._ended(entry.fact) for entry in self.ledger.entries(TrainingTried, newest_first=True))
        return sum(1 for _ in takewhile(lambda one: one is not None and one.outside is True, ended))

    def _schema(self) -> str:
        """What changed in the columns of any dataset since the last training was tried."""
        tried = self.ledger.last(TrainingTried)
        after = tried.seq if tried is not None else 0
        changed = [
            f"{entry.fact.dataset}: {change.in_words}"
            for entry in self.ledger.entries(DatasetCommitted, after=after)
            for change in entry.fact.changes
        ]
        return "; ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")

    def model(self, name: str) -> ModelTrained:
        """What the ledger says of a model."""
        if name not in self._models:
            entry = self.ledger.get(f"model:{name}")
            if entry is None or not isinstance(entry.fact, ModelTrained):
                raise LookupError(f"model {name} is not in the ledger")
            self._models[name] = entry.fact
        return self._models[name]

    def _recent(self, now: datetime) -> pl.DataFrame:
        """Predictions of the longest declared window; truth comes late, so the window ends where truth can be known."""
        longest = max([self.system.policy.window, *(r.window or 0.0 for r in self.system.requirements)])
        return self.serving.predictions(now - timedelta(seconds=longest + self._delay), now)

    @property
    def _delay(self) -> float:
        return self.system.labelled.label_delay

    def _live(self, live: ReleaseState, recent: pl.DataFrame, now: datetime) -> tuple[Verdict, ...]:
        """Verdicts on what callers got, whichever release answered."""
        model = self.model(live.model)
        signature, wanted = model.bundle.signature, self.system.requirements
        told: tuple[Verdict, ...] = ()
        if is_answered(self.system.task):
            told = self._answered_rows().live(model, now)
            wanted = tuple(r for r in wanted if not r.metric.startswith(("quality.", "value.")))
        answers = recent.filter(pl.col("stage") != "shadow").with_columns(stage=pl.lit("live"))
        answers = self._with_slices(answers, now)
        served = tuple(
            live_verdicts(
                wanted,
                predictions=answers,
                now=now,
                window=self.system.policy.window + self._delay,
                value=self.system.value,
                threshold=signature.threshold,
                task=self.system.task,
                serving=self.serving.figures(now - timedelta(seconds=self.system.policy.window), now),
            )
        )
        return (*told, *served)

    def _answered_rows(self) -> AnsweredRows:
        if self._answered is None:
            from trimtab.loop.passes.answered import AnsweredRows  # here: loops of tables decode nothing

            self._answered = AnsweredRows(self.system, self.blobs, self.datasets)
        return self._answered

    def _with_slices(self, answers: pl.DataFrame, now: datetime) -> pl.DataFrame:
        """Add the columns that requirements are sliced by, read back from the features that were scored."""
        wanted = sorted({r.by for r in self.system.requirements if r.by is not None})
        if not wanted or answers.is_empty() or is_answered(self.system.task):
            return answers
        parts = []
        for release in answers["release"].unique().sort().to_list():
            mine = answers.filter(pl.col("release") == release).sort("at", "id")
            matrix, ids, _ = self.serving.matrix(release, mine["at"].min(), now)  # type: ignore[arg-type]
            if not len(matrix):  # no inputs are kept
                parts.append(mine.with_columns(pl.lit(False).alias(SLICED)))
                continue
            signature = self.model(mine["model"][0]).bundle.signature
            decoded = decode_matrix(matrix, signature)
            columns = [decoded[name] for name in wanted if name in decoded.columns]
            read = pl.DataFrame([pl.Series("id", ids, dtype=pl.String), *columns]).with_columns(
                pl.lit(True).alias(SLICED)
            )
            parts.append(mine.join(read, on="id", how="left").with_columns(pl.col(SLICED).fill_null(False)))
        return pl.concat(parts, how="diagonal")

    def _waits_for(self, cause: str) -> bool:
        return any(trigger.cause == cause for trigger in self.system.policy.retrain_on)

    def _drift(self, live: ReleaseState, now: datetime) -> tuple[ColumnDrift, ...]:
        if is_answered(self.system.task):
            return ()
        if self._moving is None or self._moving[0] != live.release:
            profile = read_profile(self.blobs.get(self.model(live.model).profile))
            self._moving = live.release, MovingDrift(profile)

        def rows(since: datetime, until: datetime) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
            matrix, _, moments = self.serving.matrix(live.release, since, until)
            return matrix, moments

        return self._moving[1].measure(rows, now - timedelta(seconds=self.system.policy.window), now)

    def _drift_fact(self, live: ReleaseState, columns: tuple[ColumnDrift, ...], number: str, now: datetime) -> Draft:
        fact = DriftMeasured(
            model=live.model,
            window_from=now - timedelta(seconds=self.system.policy.window),
            window_to=now,
            rows=max(column.rows for column in columns),
            columns=columns,
        )
        return Draft(key=f"drift:{live.model}:{number}", fact=fact, at=now)

    def _concept(self, live: ReleaseState, now: datetime) -> str:
        """How the truth surprises the live release since it went live; empty when it does not."""
        if not self._waits_for("concept_drift"):
            return ""
        since = max(live.since, now - timedelta(days=_SURPRISE_DAYS + 3, seconds=self._delay))
        rows = self.serving.predictions(since, now)
        mine = (pl.col("release") == live.release) & (pl.col("stage") == "live") & pl.col("label").is_not_null()
        rows = rows.filter(mine).sort("at", "id")
        rows = as_fitted(self.ledger, rows)  # a shift would hide what has changed until it had caught up with it
        moments, y = rows["at"].to_physical().to_numpy(), rows["label"].to_numpy()
        score = scores_of(rows["score"])
        if self.system.task == "regression":
            drifted = detect(np.abs(y - score), moments, reference=self.model(live.model).metrics.get("quality.mae"))
            return drifted.reason if drifted.detected else ""
        found = surprise(*promises(y, score), moments, days=_SURPRISE_DAYS)
        return found.reason if found.detected else ""

    def _progress(self, releases: Releases, release: ReleaseState | None, now: datetime) -> Progress | None:
        live = releases.live
        if release is None or live is None:
            return None
        rows = self.serving.predictions(release.since, now)
        if release.stage == "canary":
            answered = rows.filter((pl.col("release") == release.release) & (pl.col("stage") == "canary"))
            return Progress(rows=answered.height, verdicts=self._canary(release, answered, now))
        if release.stage != "shadow":
            return None
        if is_answered(self.system.task):  # callers do not tell what is true of pictures and sounds
            return Progress(rows=0)
        shared = same_rows(rows, release.release).filter(pl.col("by") == live.release)
        place: Literal["shadow", "live"] = "live" if release.standby else "shadow"
        compared, likewise = self._compared(release, live, shared, place)
        if not release.standby or compared is None:
            return Progress(rows=shared.height, compared=compared, likewise=likewise)
        return Progress(
            rows=shared.height,
            compared=compared,
            likewise=likewise,
            verdicts=self._judged(shared, "score", release, now),
            beside=self._judged(shared, "answered", live, now),
        )

    def _judged(self, shared: pl.DataFrame, scores: str, release: ReleaseState, now: datetime) -> tuple[Verdict, ...]:
        """Verdicts on what one of two releases scored on the rows that both did."""
        known = measurable(self.system.task)
        wanted = [msgspec.structs.replace(r, window=None) for r in self.system.requirements if r.metric in known]
        kind = pl.List(pl.Float64) if isinstance(shared.schema[scores], pl.List) else pl.Float64
        rows = shared.with_columns(score=pl.col(scores).cast(kind), stage=pl.lit("live"))
        return tuple(
            live_verdicts(
                [r for r in wanted if r.by is None],
                predictions=rows,
                now=now,
                window=(now - shared["at"][0]).total_seconds(),
                value=self.system.value,
                threshold=self.model(release.model).bundle.signature.threshold,
                task=self.system.task,
                serving=None,
            )
        )

    def _canary(self, release: ReleaseState, answered: pl.DataFrame, now: datetime) -> tuple[Verdict, ...]:
        wanted = [r for r in self.system.requirements if r.metric.startswith(("serving.", "resources."))]
        return tuple(
            live_verdicts(
                wanted,
                predictions=answered,
                now=now,
                window=self.system.policy.window,
                value=self.system.value,
                threshold=0.5,
                task=self.system.task,
                serving=self.serving.figures(now - timedelta(seconds=self.system.policy.window), now),
                place="canary",
                release=release.release,
            )
        )

    def _compared(
        self, release: ReleaseState, live: ReleaseState, shared: pl.DataFrame, place: Literal["shadow", "live"]
    ) -> tuple[Compared | None, tuple[Compared, ...]]:
        moments = shared["at"].to_physical().to_numpy()
        if len(np.unique(days(moments))) < _FEWEST_DAYS:
            return None, ()
        champion, challenger = self.model(live.model), self.model(release.model)
        found = [
            as_fact(
                paired,
                metric=metric,
                release=release.release,
                champion=champion,
                challenger=challenger,
                place=place,
            )
            for metric, paired in compare_all(
                self.system,
                y=shared["label"].to_numpy(),
                champion=scores_of(shared["answered"]),
                challenger=scores_of(shared["score"]),
                thresholds=(champion.bundle.signature.threshold, challenger.bundle.signature.threshold),
                moments=moments,
            )
        ]
        return found[0], tuple(found[1:])
