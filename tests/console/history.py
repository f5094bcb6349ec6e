"""A year of a system's life as records: made from a seed, shaped like the replay of real flights."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import cos, pi

import numpy as np
from blake3 import blake3
from msgspec.structs import replace

from trimtab.data.spec import DatasetSpec
from trimtab.declaration.system import Policy, System
from trimtab.records.facts import (
    ActionFinished,
    ActionIntended,
    AnyFact,
    Cause,
    ColumnDrift,
    Compared,
    DatasetCommitted,
    DriftMeasured,
    ModelTrained,
    PassFinished,
    ReleaseMoved,
    SchemaChange,
    VerdictsGiven,
)
from trimtab.records.journal import Entry
from trimtab.records.metric import Place
from trimtab.records.model import ModelBundle, ModelIdentity, Signature, Stage
from trimtab.records.requirement import Estimate, Requirement, Value, Verdict
from trimtab.records.studies import BacktestFinished, Promotion
from trimtab.serving.spec import ServeSpec
from trimtab.training.spec import ModelSpec

START = datetime(2013, 3, 1, tzinfo=UTC)
DAYS = 305
MIB = 2.0**20
COLUMNS = (
    "hour", "carrier", "origin", "dest", "distance", "temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust",
    "precip", "pressure", "visib", "recent_delay", "flights_today",
)  # fmt: skip

REQUIREMENTS = (
    Requirement(metric="quality.roc_auc", comparison=">=", limit=0.66, text=">= 0.66"),
    Requirement(metric="quality.recall", comparison=">=", limit=0.5, by="carrier", min_rows=300),
    Requirement(metric="value.per_1000", comparison=">=", limit=250.0, unit="USD"),
    Requirement(metric="serving.latency_p95", comparison="<=", limit=0.015, unit="ms", scale=0.001),
    Requirement(metric="resources.memory", comparison="<=", limit=600 * MIB, unit="MiB", scale=MIB),
    Requirement(metric="data.completeness", comparison=">=", limit=0.98, unit="%", scale=0.01, columns=("dest",)),
    Requirement(metric="data.freshness", comparison="<=", limit=172800.0, unit="d", scale=86400.0),
    Requirement(metric="resources.train_time", comparison="<=", limit=300.0, unit="min", scale=60.0),
)


def system(name: str = "flight-delays", problem: str = "") -> System:
    """The declaration that the history belongs to."""
    return System(
        path="trimtab.toml",
        folder=".",
        digest="4f1c2a9b7d3e",
        text="",
        name=name,
        problem=problem
        or "Two hours before departure, warn passengers when the flight will land more than 15 minutes late",
        task="binary_classification",
        value=Value(currency="USD", true_positive=8.0, false_positive=-3.0),
        requirements=REQUIREMENTS,
        data=(DatasetSpec(name="flights", source="python:sources:flights", key=("id",), time="at", label="late"),),
        features=(),
        model=ModelSpec(code="model.py"),
        policy=Policy(),
        serve=ServeSpec(),
    )


class History:
    """Writes facts one by one, numbered like the ledger's."""

    def __init__(self, seed: int = 7) -> None:
        self.random = np.random.default_rng(seed)
        self.entries: list[Entry] = []
        self.live = ""
        self.skill = 0.71
        self.releases = 0

    def add(self, key: str, fact: AnyFact, at: datetime) -> None:
        seq = len(self.entries) + 1
        kind = str(fact.__struct_config__.tag)
        self.entries.append(Entry(seq=seq, key=key, at=at, kind=kind, fact=fact, measured={}, chain=f"{seq:064x}"))

    def verdict(
        self, number: int, figure: float | None, half: float | None, rows: int, place: Place, part: str | None = None
    ) -> Verdict:
        need = REQUIREMENTS[number]
        low = figure - half if figure is not None and half is not None else None
        high = figure + half if figure is not None and half is not None else None
        ends = [e for e in ((low, high) if low is not None else (figure,)) if e is not None]
        right = [e >= need.limit if need.comparison == ">=" else e <= need.limit for e in ends]
        status = "unknown" if not right or any(right) != all(right) else "met" if all(right) else "broken"
        return Verdict(
            metric=need.metric, status=status, comparison=need.comparison, limit=need.limit, unit=need.unit,
            scale=need.scale, figure=figure, low=low, high=high, rows=rows, place=place, slice=part,
            reason="" if status == "met" else "0.648 is below 0.66, and so is the whole interval",
        )  # fmt: skip

    def train(self, at: datetime, why: str, skill: float) -> str:
        self.releases += 1
        number = self.releases
        digest = blake3(f"{number}".encode()).hexdigest()[:32]
        identity = ModelIdentity(id=digest, code="c0de51" + "0" * 26, params="9a3a45" + "0" * 26, data=digest[::-1])
        self.add(
            f"intent:{at}.{number}", ActionIntended(action=f"{at}.{number}", verb="train", why=why, arguments={}), at
        )
        days = (at - datetime(2013, 1, 1, tzinfo=UTC)).days
        self.add(
            f"model:{digest}",
            ModelTrained(
                identity=identity,
                bundle=ModelBundle(onnx="0", signature=Signature(task="binary_classification", inputs=(), features=())),
                dataset="flights",
                dataset_version=digest[:12],
                rows=days * 900,
                train_from=at - timedelta(days=days),
                train_to=at - timedelta(days=8),
                valid_from=at - timedelta(days=8),
                valid_to=at,
                params={},
                code_files={},
                libraries={},
                slices={},
                profile="",
                parity=3e-7,
                metrics={
                    "quality.roc_auc": Estimate(figure=skill, low=skill - 0.014, high=skill + 0.014, rows=6100),
                    "value.per_1000": Estimate(figure=430.0, low=371.0, high=489.0, rows=6100),
                    "resources.train_time": Estimate(figure=4.0 + days / 60),
                },
                baseline={"quality.roc_auc": Estimate(figure=0.5)},
            ),
            at,
        )
        done = ActionFinished(
            action=f"{at}.{number}", verb="train", outcome="done", summary=f"model {digest[:8]} trained"
        )
        self.add(f"outcome:{at}.{number}", done, at)
        return digest

    def move(
        self, at: datetime, release: str, model: str, source: Stage | None, to: Stage, why: str, evidence: bool = False
    ) -> None:
        if evidence:
            given = (
                self.verdict(0, self.skill, 0.014, 6100, "release"),
                self.verdict(1, 0.55, 0.03, 911, "release", "EV"),
                self.verdict(2, 432.0, 58.0, 6100, "release"),
                self.verdict(7, 6.0 + self.releases, None, 0, "release"),
            )
            verdicts = VerdictsGiven(place="release", subject=release, verdicts=given)
            self.add(f"verdicts:release:{release}:{len(self.entries)}", verdicts, at)
        fact = ReleaseMoved(release=release, model=model, source=source, to=to, why=why)
        self.add(f"release:{release}:{to}:{len(self.entries)}", fact, at)

    def compare(self, at: datetime, release: str, model: str, champion: str, middle: float, half: float) -> None:
        verdict = "better" if middle - half > 0 else "worse" if middle + half < 0 else "no_difference"
        self.add(
            f"compared:{release}:release:{at}",
            Compared(
                release=release,
                challenger=model,
                champion=champion,
                place="release",
                metric="value.per_1000",
                difference=middle,
                low=middle - half,
                high=middle + half,
                rows=6100,
                verdict=verdict,
            ),
            at,
        )

    def a_day(self, day: int, at: datetime, since: int) -> None:
        """One pass: verdicts, drift and what the loop concluded."""
        season = cos(2 * pi * (day + 40) / 365)
        dip = -0.035 if 184 <= day <= 214 else 0.0
        auc = self.skill - 0.00045 * since + dip + 0.012 * season + self.random.normal(0, 0.006)
        rows = int(self.random.normal(6200, 250))
        worth = 2600 * (auc - 0.5) + self.random.normal(0, 25) + (-90 if dip else 0)
        quiet = day < 2
        live = (
            self.verdict(0, None if quiet else auc, None if quiet else 0.016, 0 if quiet else rows, "live"),
            self.verdict(1, auc - 0.16 + self.random.normal(0, 0.01), 0.045, 900, "live", "EV"),
            self.verdict(2, worth, 60.0, rows, "live"),
            self.verdict(3, 0.0021 + abs(self.random.normal(0, 0.0006)), None, rows, "live"),
            self.verdict(4, (96 + day / 40 + self.random.normal(0, 1)) * MIB, None, 1, "live"),
        )
        self.add(f"verdicts:live:r:{day}", VerdictsGiven(place="live", subject=self.live, verdicts=live), at)
        data = (
            self.verdict(5, 0.995 - abs(self.random.normal(0, 0.004)) - (0.03 if day == 120 else 0), None, 900, "data"),
            self.verdict(6, 86400.0 * abs(self.random.normal(0.3, 0.1)), None, 900, "data"),
        )
        self.add(f"verdicts:data:d:{day}", VerdictsGiven(place="data", subject="d", verdicts=data), at)
        columns = []
        for position, column in enumerate(COLUMNS):
            seasonal = 0.35 * (1 - cos(2 * pi * since / 300)) if column in {"temp", "dewp", "humid"} else 0.0
            effect = max(0.0, seasonal + 0.012 * (position % 5) + self.random.normal(0, 0.02))
            statistic = "tv" if column in {"carrier", "origin", "dest"} else "ks"
            columns.append(
                ColumnDrift(
                    column=column,
                    statistic=statistic,
                    effect=effect,
                    low=effect - 0.03,
                    high=effect + 0.03,
                    rows=rows,
                    drifted=effect - 0.03 > 0.1,
                )
            )
        fact = DriftMeasured(
            model=self.live, window_from=at - timedelta(days=7), window_to=at, rows=rows, columns=tuple(columns)
        )
        self.add(f"drift:{self.live}:{day}", fact, at)


def year(seed: int = 7) -> list[Entry]:
    """The entries of a whole replay: trainings, promotions, refusals and a rollback."""
    history = History(seed)
    first = history.train(START, "no_model: no release is live", 0.71)
    history.live = first
    history.move(START, "r-001", first, None, "candidate", "no_model: no release is live")
    history.move(START, "r-001", first, "candidate", "live", "passed 4 of 4 gates", evidence=True)
    plan = {
        30: "better",
        62: "worse",
        95: "better",
        121: "incident",
        150: "worse",
        186: "better",
        220: "worse",
        262: "better",
    }
    name, since = "r-001", 0
    for day in range(DAYS):
        at = START + timedelta(days=day)
        until = at - timedelta(hours=3)
        rows = 51_000 + 900 * day
        fact = DatasetCommitted(
            dataset="flights", version=f"{rows:012x}", parent=None, rows=rows, added=900, until=until,
            quarantined={"duplicate key": 1} if day % 60 == 7 else {},
            changes=(SchemaChange(column="gate", kind="added", detail="it was not there before"),) if day == 40 else (),
        )  # fmt: skip
        history.add(f"data:flights:{day}", fact, at)
        history.a_day(day, at, since)
        since += 1
        fate = plan.get(day)
        causes = (
            (Cause(name="data_drift", evidence=f"{2 + day % 3} of 16 columns drifted: temp (ks 0.42)"),)
            if since > 20
            else ()
        )
        actions: tuple[str, ...] = ()
        if fate:
            name, since = _episode(history, at, name, fate, since)
            actions = ("train",) if fate != "incident" else ("rollback",)
        reason = "" if actions else "would train, but the cooldown lasts 1.2 d more" if causes else "nothing to do"
        history.add(f"pass:{day}", PassFinished(number=str(day), causes=causes, actions=actions, reason=reason), at)
    ordered = sorted(history.entries, key=lambda entry: entry.at)
    return [replace(entry, seq=number) for number, entry in enumerate(ordered, 1)]


def _episode(history: History, at: datetime, live: str, fate: str, since: int) -> tuple[str, int]:
    champion, release = history.live, f"r-{history.releases + 1:03d}"
    why = "data_drift: 3 of 16 columns drifted: temp (ks 0.42), dewp (ks 0.31), humid (ks 0.15)"
    model = history.train(at, why, 0.5 if fate == "incident" else history.skill)
    if fate == "incident":
        history.move(at, release, model, None, "live", "incident: broken_model.py is made live past the gates")
        history.move(at, live, champion, "live", "shadow", f"stands by beside {release}")
        later = at + timedelta(days=2)
        history.compare(later, release, model, champion, -310.0, 55.0)
        story = "r-004 does better than the live model on the same rows: value.per_1000 +310 (+255..+365, 1,804 rows)"
        history.move(later, release, model, "live", "rolled_back", story)
        history.move(later, live, champion, "shadow", "live", f"takes over again from {release}")
        return live, since
    history.move(at, release, model, None, "candidate", why)
    if fate == "worse":
        history.compare(at, release, model, champion, -12.4, 31.0)
        why = "no better than the live model: value.per_1000 -12.4 (-43.4..+18.6, 6,100 rows)"
        history.move(at, release, model, "candidate", "rejected", why, evidence=True)
        return live, since
    history.compare(at, release, model, champion, 58.0, 31.0)
    history.move(at, release, model, "candidate", "shadow", "passed 4 of 4 gates", evidence=True)
    history.move(at + timedelta(days=2), release, model, "shadow", "canary", f"{release} passed shadow over 1,812 rows")
    then = at + timedelta(days=4)
    history.move(then, release, model, "canary", "live", f"{release} passed canary over 1,020 answers")
    history.move(then, live, champion, "live", "shadow", f"stands by beside {release}")
    history.move(then + timedelta(days=7), live, champion, "shadow", "retired", "its successor has held for 7 d")
    history.live, history.skill = model, history.skill + 0.003
    return release, 0


def backtests(seed: int = 3) -> list[BacktestFinished]:
    """The declared policy, never retraining and two schedules over the same days."""
    random = np.random.default_rng(seed)
    common = random.normal(0, 70, DAYS)
    found = []
    for policy, lift, trained in (
        ("declared", 0.38, 7),
        ("never", 0.0, 0),
        ("every:30d", 0.36, 10),
        ("every:90d", 0.27, 3),
    ):
        worth = []
        for day in range(DAYS):
            growth = lift * (1 - np.exp(-day / 80)) if policy != "never" else 0.0
            worth.append(float(900 / 1000 * (380 + 120 * cos(2 * pi * day / 200) + common[day]) * (1 + growth)))
        worth = [value + float(random.normal(0, 18)) for value in worth]
        promotions = ()
        if policy == "declared":
            promotions = tuple(
                Promotion(
                    release=f"r-{number:03d}",
                    replaced=f"r-{number - 1:03d}",
                    at=START + timedelta(days=34 + 60 * i),
                    metric="value.per_1000",
                    difference=41.0 + 9 * i,
                    low=12.0,
                    high=74.0 + 18 * i,
                    rows=24_000,
                    verdict="better",
                )
                for i, number in enumerate((2, 4, 7))
            )
        found.append(
            BacktestFinished(
                policy=policy,
                start=START,
                end=START + timedelta(days=DAYS),
                predictions=900 * DAYS,
                value=sum(worth),
                per_1000=sum(worth) / (0.9 * DAYS),
                retrainings=trained,
                releases=trained,
                refused=3 if policy == "declared" else 0,
                rolled_back=0,
                holds={"quality.roc_auc": 0.9 if lift else 0.41, "value.per_1000": 0.97 if lift else 0.7},
                daily=tuple((f"{START + timedelta(days=d):%Y-%m-%d}", 900, worth[d]) for d in range(DAYS)),
                promotions=promotions,
            )
        )
    return found
