"""A replay as a process of its own, and what it leaves behind: its facts and its telemetry."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import psutil

from trimtab.records.journal import comparable
from trimtab.records.layout import Layout
from trimtab.records.ledger import Ledger
from trimtab.serving.telemetry.reading.reader import TelemetryReader
from trimtab.serving.telemetry.segments import ANSWERED, MAGIC, SHADOWED, SUFFIX, Scored, frames

TIDES = Path(__file__).parents[1] / "systems" / "tides"
BRITTLE = Path(__file__).with_name("brittle.py")
OUTSIDE = "outside-"
"""How the ids of callers begin that do not belong to the replay."""

_COLUMNS = ("at", "id", "release", "model", "stage", "generation", "score", "label", "truth_at")


class ReplayProcess:
    """`trimtab replay` on one state folder, which may be killed and started again. `until`: not the whole of it."""

    def __init__(self, state: Path, until: str = "") -> None:
        self.state = state
        self.log = state.parent / f"{state.name}.log"
        self._command = ["replay", str(TIDES), "--state", str(state), *(["--until", until] if until else [])]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, brittle: int = 0) -> None:
        """Starts it, or goes on with it; `brittle` has it kill itself at that durable step."""
        how = [str(BRITTLE), str(brittle)] if brittle else ["-m", "trimtab.cli.main"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *how, *self._command], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def code(self) -> int | None:
        """The exit code, None while it runs."""
        assert self.process is not None
        return self.process.poll()

    def wait(self, seconds: float) -> int:
        assert self.process is not None
        return self.process.wait(seconds)

    def children(self, module: str) -> list[psutil.Process]:
        """The processes that run `python -m module` for this replay."""
        found = []
        try:
            for child in psutil.Process(self.pid).children(recursive=True):
                try:
                    if module in child.cmdline():
                        found.append(child)
                except psutil.Error:
                    continue
        except psutil.Error:
            return []
        return found

    def busy_workers(self) -> list[psutil.Process]:
        """The workers that have work; another one may wait for the next."""
        found = []
        for worker in self.children("trimtab.training.worker"):
            try:
                words = worker.cmdline()
                folder = Path(words[words.index("trimtab.training.worker") + 1])
            except (psutil.Error, ValueError):
                continue
            if (folder / "job.json").is_file():
                found.append(worker)
        return found

    def last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-25:])

    def end(self) -> None:
        """Whatever is left of it, servers that outlived it too."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        until = time.monotonic() + 15
        while time.monotonic() < until and (left := _on(self.state)):
            for process in left:
                try:
                    process.kill()
                except psutil.Error:
                    continue
            time.sleep(0.05)


def _on(state: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if str(state) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


@dataclass(frozen=True)
class Outcome:
    """What a replay left: its comparable facts in order of key, and the predictions a reader sees."""

    facts: tuple[tuple[str, str, object, bytes], ...]
    predictions: pl.DataFrame
    verdicts: Counter[str]


def outcome_of(state: Path) -> Outcome:
    """Reads it, and holds the ledger and the telemetry to what they promise by themselves."""
    layout = Layout(state)
    with Ledger.open(layout.ledger, create=False) as ledger:
        assert ledger.verify() is None
        entries = list(ledger.entries())
    keys = Counter(entry.key for entry in entries)
    assert not [key for key, count in keys.items() if count > 1], "a fact stands twice"
    _one_answer_an_id(layout.telemetry)
    return Outcome(
        facts=tuple(sorted(map(comparable, entries), key=lambda fact: fact[0])),
        predictions=_predictions(layout.telemetry),
        verdicts=Counter(entry.kind for entry in entries),
    )


def _predictions(telemetry: Path) -> pl.DataFrame:
    reader = TelemetryReader(telemetry)
    reader.refresh()
    rows = reader.predictions().filter(~pl.col("id").str.starts_with(OUTSIDE))
    assert rows.select("id", "release").is_duplicated().sum() == 0
    return rows.select(_COLUMNS).with_columns(pl.col("score").round(5)).sort("at", "id", "release")


def _one_answer_an_id(telemetry: Path) -> None:
    """Whatever was asked twice was answered by the same release with the same score: also in the raw frames."""
    answered_by: dict[str, set[tuple[str, str]]] = defaultdict(set)
    scores: dict[tuple[str, str], set[float]] = defaultdict(set)
    for path in sorted(telemetry.glob(f"*{SUFFIX}")):
        data = path.read_bytes()
        for frame in frames(data[len(MAGIC) :], len(MAGIC)):
            if frame.kind not in (ANSWERED, SHADOWED):
                continue
            record = msgspec.msgpack.decode(frame.meta, type=Scored)
            for name, score in zip(record.ids, np.frombuffer(record.scores, np.float32).tolist(), strict=True):
                scores[name, record.release].add(round(score, 5))
                if frame.kind == ANSWERED and not name.startswith(OUTSIDE):
                    answered_by[name].add((record.release, record.stage))
    two_answers = {name: sorted(by) for name, by in answered_by.items() if len(by) > 1}
    assert not two_answers, f"answered by two releases: {dict(list(two_answers.items())[:3])}"
    two_scores = {name: found for name, found in scores.items() if len(found) > 1}
    assert not two_scores, f"two scores for one row: {dict(list(two_scores.items())[:3])}"


def same(disturbed: Outcome, undisturbed: Outcome) -> None:
    """Fails with the first differences, in the order in which the facts came to be."""
    found, wanted = ({fact[0]: fact for fact in one.facts} for one in (disturbed, undisturbed))
    differing = [key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key)]
    if differing:
        first = sorted(differing, key=lambda key: (str((found.get(key) or wanted[key])[2]), key))[:3]
        told = "\n".join(
            f"{key}\n  disturbed:   {_said(found, key)}\n  undisturbed: {_said(wanted, key)}" for key in first
        )
        raise AssertionError(f"{len(differing)} of {len(wanted)} facts differ, first:\n{told}")
    if not disturbed.predictions.equals(undisturbed.predictions):
        keys = ["id", "release"]
        only = disturbed.predictions.join(undisturbed.predictions, on=keys, how="anti").head(3)
        lost = undisturbed.predictions.join(disturbed.predictions, on=keys, how="anti").head(3)
        both = disturbed.predictions.join(undisturbed.predictions, on=keys, suffix="_wanted")
        other = [
            both.filter(pl.col(name).ne_missing(pl.col(f"{name}_wanted"))).select(*keys, name, f"{name}_wanted").head(3)
            for name in _COLUMNS
            if name not in keys
        ]
        changed = [part for part in other if part.height]
        raise AssertionError(f"the telemetry differs; only here: {only}, missing: {lost}, changed: {changed}")


def _said(facts: dict[str, tuple[str, str, object, bytes]], key: str) -> str:
    if key not in facts:
        return "(none)"
    return facts[key][3].decode()[:1500]
