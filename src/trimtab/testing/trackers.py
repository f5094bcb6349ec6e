"""The shared suite of `Tracker`: what everything that shows trainings outside must hold.

A test module derives from it, and says how its tracker is opened and how a person would find there what was written:

    class TestMyTracker(TrackerSuite):
        def open(self, place): return MyTracker(place)
        def shown(self, place, system): ...
"""

from __future__ import annotations

import getpass
import multiprocessing
import os
import signal
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from blake3 import blake3

from trimtab.experiments.port import Contents, Curve, Told, Tracker
from trimtab.records.tracking import Artifact, Energy, Environment, Load, Series, SourceState, Training

STARTED = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
SYSTEM = "suite-of-trackers"
SECRET = "a-secret-of-the-environment"
_MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class Shown:
    """One run as the tool tells it. `params` as texts; `curves` by title: (step, value) in order of step."""

    outcome: str
    params: dict[str, str]
    figures: dict[str, float]
    curves: dict[str, list[tuple[int, float]]]
    artifacts: dict[str, bytes] = field(default_factory=dict)
    started: datetime | None = None


class Written:
    """Contents that lie in a folder."""

    def __init__(self, folder: Path, curves: Sequence[Curve], artifacts: dict[str, bytes], model: bytes | None) -> None:
        self._folder = folder
        self._curves = tuple(curves)
        self._model = model
        folder.mkdir(parents=True, exist_ok=True)
        for content in artifacts.values():
            (folder / blake3(content).hexdigest()).write_bytes(content)

    def curves(self) -> Sequence[Curve]:
        return self._curves

    def artifact(self, artifact: Artifact) -> Path:
        return self._folder / artifact.digest

    def patch(self) -> str:
        return "--- a/model.py\n+++ b/model.py\n@@ -1 +1 @@\n-depth = 3\n+depth = 4\n"

    def model(self) -> bytes | None:
        return self._model


def example(folder: Path, name: str = "0123456789abcdef", *, points: int = 50) -> tuple[Told, Contents]:
    """A training with everything a training can have, and its contents, in files below `folder`."""
    steps = np.arange(points, dtype=np.int64)
    at = int(STARTED.timestamp()) * _MICROSECONDS + steps * 1000
    floats = steps.astype(np.float64)
    values = np.reciprocal(1.0 + floats)
    values[points // 2] = np.nan
    curves = [
        Curve("evaluated", "loss", steps, values, at),
        Curve("evaluated", "valid/auc", steps * 10, np.sqrt(floats), at),
        Curve("shipped", "loss", steps, np.reciprocal(2.0 + floats), at),
        Curve("system", "cpu", steps, np.full(points, 1.5), at),
    ]
    files = {"confusion.csv": b"a,b\n3,1\n0,4\n", "plots/loss.txt": b"*\n **\n", "empty.bin": b""}
    artifacts = tuple(Artifact(name=k, digest=blake3(v).hexdigest(), size=len(v)) for k, v in files.items())
    training = Training(
        id=name,
        outcome="trained",
        started=STARTED,
        seconds=12.5,
        params={"learning_rate": 0.1, "leaves": 31, "kind": "gbdt", "columns": ["a", "b"], "deep": {"x": True}},
        figures={"quality.roc_auc": 0.8125, "quality.log_loss": 0.375, "resources.train_time": 12.5},
        environment=Environment(
            python="3.11", system="Linux", processor="a processor", cores=4, threads=3, memory=2**33,
            libraries={"numpy": "2.0"},
        ),
        load=Load(cpu_seconds=20.0, cores_busy=1.6, memory_mean=1e8, memory_peak=2e8),
        energy=Energy(joules=240.0, basis="12 W a core"),
        source=SourceState(commit="c" * 40, branch="main", changed=("model.py",)),
        artifacts=artifacts,
        series=tuple(
            Series(fit=c.fit, name=c.name, points=len(c.steps), first_step=0, last_step=int(c.steps[-1]),
                   last=float(c.values[-1]), least=None, greatest=None)
            for c in curves
        ),
    )  # fmt: skip
    told = Told(system=SYSTEM, group="loop", training=training, dataset="flights", version="d" * 16, rows=1000)
    return told, Written(folder, curves, files, None)


class TrackerSuite(ABC):
    """Run by pytest; each test has a place of its own."""

    has_artifacts = True
    single_precision = False
    """Whether the tool keeps values as 32-bit floats."""
    keeps_nan = True
    kills: tuple[float, ...] = (0.002, 0.01, 0.05)
    """Seconds after which a process that writes is killed."""

    @abstractmethod
    def open(self, place: Path) -> Tracker:
        """The tracker, with whatever was written before."""

    @abstractmethod
    def shown(self, place: Path, system: str) -> dict[str, Shown]:
        """All runs of a system as the tool itself tells them, by the identity of their training: read in another way
        than they were written. A training that is shown twice has to fail here."""

    def everything(self, place: Path) -> bytes:
        """All that was sent or stored, names included, to be searched for what must not be there."""
        files = [path for path in sorted(place.rglob("*")) if path.is_file()]
        return b"\n".join(part for path in files for part in (str(path.relative_to(place)).encode(), path.read_bytes()))

    def write(self, place: Path, told: Told, contents: Contents) -> str:
        tracker = self.open(place)
        try:
            return tracker.write(told, contents)
        finally:
            tracker.close()
            tracker.close()

    def check(self, found: Shown, told: Told, contents: Contents) -> None:
        """That a run shows what was told."""
        training = told.training
        assert found.outcome == training.outcome
        assert {name: found.params.get(name) for name in training.params} == {
            name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
            for name, value in training.params.items()
        }
        for name, figure in training.figures.items():
            assert self._close(found.figures[name], figure), name
        for curve in contents.curves():
            points = zip(curve.steps.tolist(), curve.values.tolist(), strict=True)
            wanted = [(step, value) for step, value in points if self.keeps_nan or np.isfinite(value)]
            got = found.curves[curve.title]
            assert [step for step, _ in got] == [step for step, _ in wanted], curve.title
            assert all(self._close(a, b) for (_, a), (_, b) in zip(got, wanted, strict=True)), curve.title
        if found.started is not None:
            assert abs((found.started - training.started).total_seconds()) < 1.0
        if self.has_artifacts:
            wanted_files = {a.name: contents.artifact(a).read_bytes() for a in training.artifacts}
            assert {name: found.artifacts.get(name) for name in wanted_files} == wanted_files

    def test_everything_that_was_told_is_shown(self, tmp_path: Path) -> None:
        told, contents = example(tmp_path / "contents")
        where = self.write(tmp_path / "place", told, contents)
        assert where
        found = self.shown(tmp_path / "place", SYSTEM)
        assert list(found) == [told.training.id]
        self.check(found[told.training.id], told, contents)

    def test_writing_again_leaves_one_run(self, tmp_path: Path) -> None:
        """Also through another object, and with other trainings between."""
        told, contents = example(tmp_path / "contents")
        other, more = example(tmp_path / "contents", "f" * 16, points=7)
        for each, its in ((told, contents), (other, more), (told, contents)):
            self.write(tmp_path / "place", each, its)
        found = self.shown(tmp_path / "place", SYSTEM)
        assert sorted(found) == sorted([told.training.id, other.training.id])
        self.check(found[told.training.id], told, contents)
        self.check(found[other.training.id], other, more)

    def test_a_killed_write_is_made_good(self, tmp_path: Path) -> None:
        told, contents = example(tmp_path / "contents", points=2000)
        for seconds in self.kills:
            child = multiprocessing.get_context("fork").Process(
                target=self.write, args=(tmp_path / "place", told, contents)
            )
            child.start()
            time.sleep(seconds)
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
            child.join()
        self.write(tmp_path / "place", told, contents)
        found = self.shown(tmp_path / "place", SYSTEM)
        assert list(found) == [told.training.id]
        self.check(found[told.training.id], told, contents)

    def test_a_training_without_a_model_is_shown_as_failed(self, tmp_path: Path) -> None:
        whole, _ = example(tmp_path / "contents")
        training = Training(id=whole.training.id, outcome="failed", reason="it broke", started=STARTED, seconds=1.0)
        told = msgspec.structs.replace(whole, training=training)
        contents = Written(tmp_path / "contents", (), {}, None)
        self.write(tmp_path / "place", told, contents)
        found = self.shown(tmp_path / "place", SYSTEM)[training.id]
        self.check(found, told, contents)

    def test_nothing_is_sent_that_was_not_given(self, tmp_path: Path, monkeypatch: Any, capfd: Any) -> None:
        """Libraries of trackers like to gather the host, the user, arguments and the environment."""
        monkeypatch.setenv("TRIMTAB_SUITE_TOKEN", SECRET)
        before = dict(os.environ), Path.cwd()
        told, contents = example(tmp_path / "contents")
        self.write(tmp_path / "place", told, contents)
        assert (dict(os.environ), Path.cwd()) == before
        printed = capfd.readouterr()
        assert (printed.out, printed.err) == ("", "")
        sent = self.everything(tmp_path / "place")
        own = {socket.gethostname(), SECRET, "TRIMTAB_SUITE_TOKEN"} - {"localhost"}
        for word in own | ({getpass.getuser()} - {"root", "runner"}):
            assert word.encode() not in sent, word

    def _close(self, one: float, other: float) -> bool:
        if self.single_precision:
            other = float(np.float32(other))
        return bool(np.isclose(one, other, rtol=1e-12, atol=0.0, equal_nan=True))
