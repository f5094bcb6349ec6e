"""The index of trainings and what trackers are given: told from the ledger, made good after whatever happened."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from trimtab.declaration.load import parse
from trimtab.errors import PermanentError, TemporaryError
from trimtab.experiments.folder import FolderTracker
from trimtab.experiments.index import Index
from trimtab.experiments.port import Told, TrackerError
from trimtab.experiments.shown import texts_of
from trimtab.experiments.spec import TrackerSpec, TrackingSpec
from trimtab.loop.tracking import Copying, refresh
from trimtab.records.blobs import Blobs
from trimtab.records.facts import TrainingFailed
from trimtab.records.ledger import Ledger
from trimtab.records.model import ModelIdentity
from trimtab.records.studies import ExperimentFinished, Round, TrialFinished
from trimtab.records.tracking import Artifact, Training, ref_of

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TO = TrackerSpec(tool="folder", place="out")


class World:
    """A ledger, blobs and an index, with trainings that are only records."""

    def __init__(self, folder):
        self.folder = folder
        self.blobs = Blobs(folder / "blobs")
        self.ledger = Ledger.open(folder / "ledger.db")
        self.index = Index(folder / "trainings.db")
        self.time = 1000.0
        self.down = False

    def training(self, identity, **known):
        record = Training(id=identity, outcome="trained", started=NOW, seconds=1.0, **known)
        self.blobs.set_ref(ref_of(identity), self.blobs.put(msgspec.json.encode(record)))
        return record

    def trial(self, number, identity):
        fact = TrialFinished(search="s", number=number, params={}, model=identity, figures={}, broken={},
                             given_up=False, why="")  # fmt: skip
        self.ledger.append(f"trial:s:{number}", fact, at=NOW + timedelta(minutes=number))

    def copying(self, system, **known):
        def opened(spec):
            if self.down:
                raise TemporaryError("there is nobody", delay=1.0)
            return FolderTracker(self.folder / spec.place)

        tracking = TrackingSpec(to=(TO,), **known)
        return Copying(msgspec.structs.replace(system, tracking=tracking), ledger=self.ledger, blobs=self.blobs,
                       index=self.index, opened=opened, clock=lambda: self.time)  # fmt: skip

    def held(self):
        home = self.folder / "out" / "pumps"
        found = sorted(home.iterdir()) if home.is_dir() else []
        return {path.name: msgspec.json.decode((path / "training.json").read_bytes(), type=Told)
                for path in found if path.is_dir()}  # fmt: skip


@pytest.fixture
def world(tmp_path):
    found = World(tmp_path)
    yield found
    found.ledger.close()
    found.index.close()


@pytest.fixture
def system(tmp_path):
    text = """
[system]
name = "pumps"
problem = "which pump runs hot"
task = "regression"
[requirements]
"quality.mae" = "<= 5"
[[data]]
name = "d"
source = "d.csv"
key = "id"
time = "at"
label = "heat"
[model]
code = "model.py"
"""
    (tmp_path / "model.py").write_text("def train(train, valid, params): ...\n")
    (tmp_path / "d.csv").write_text("id,at,heat\n")
    return parse(text, tmp_path / "trimtab.toml")


def test_every_kind_of_fact_brings_its_trainings(world):
    failed = TrainingFailed(
        identity=ModelIdentity(id="f" * 16, code="c", params="p", data="d"), reason="it broke", log=""
    )
    world.ledger.append("training_failed:f:1", failed, at=NOW)
    world.training("a" * 16, figures={"quality.mae": 2.0})
    world.trial(1, "a" * 16)
    world.trial(2, "")
    world.training("b" * 16, figures={"quality.mae": 1.0})
    rounds = (Round(folds=1, difference=0, low=0, high=0, level=0.05, rows=1, blocks=1, answer="inconclusive",
                    models=(("a" * 16, "b" * 16),)),)  # fmt: skip
    world.ledger.append("experiment:e:1", ExperimentFinished(
        name="e", hypothesis="h", expect="x", metric="quality.mae", margin=0, verdict="inconclusive", why="",
        reference=0, changed=0, difference=0, low=0, high=0, smallest_detectable=None, dataset="d",
        dataset_version="v", changed_by=(), rounds=rounds), at=NOW)  # fmt: skip
    refresh(world.index, world.ledger, world.blobs)
    found = {each.id: each for each in world.index.beginning("")}
    assert {key: (each.group, each.outcome) for key, each in found.items()} == {
        "f" * 16: ("loop", "failed"),
        "a" * 16: ("search:s", "trained"),
        "b" * 16: ("experiment:e", "trained"),
    }
    assert [each.id[0] for each in world.index.best("quality.mae", highest=False, limit=5)] == ["b", "a"]
    assert [each.id[0] for each in world.index.best("quality.mae", highest=True, limit=1)] == ["a"]
    assert world.index.metrics() == ["quality.mae"]


def test_an_index_that_is_gone_or_damaged_is_told_again(world, tmp_path):
    for number in range(5):
        world.training(f"{number:016x}", figures={"quality.mae": number})
        world.trial(number, f"{number:016x}")
    refresh(world.index, world.ledger, world.blobs)
    before = world.index.beginning("")
    world.index.close()
    for name in tmp_path.glob("trainings.db*"):
        name.unlink()
    world.index = Index(tmp_path / "trainings.db")
    refresh(world.index, world.ledger, world.blobs)
    assert world.index.beginning("") == before


def test_what_the_tracker_missed_is_written_later_and_once(world, system):
    for number in range(3):
        world.training(f"{number:016x}", figures={"quality.mae": number})
        world.trial(number, f"{number:016x}")
    world.down = True
    (told,) = world.copying(system).copy()
    assert (told.written, told.held, told.waiting, told.trouble) == (0, 0, 3, "there is nobody")
    world.down = False
    (told,) = world.copying(system).copy()
    assert told.written == 0  # it is left alone for a while
    world.time += 11
    (told,) = world.copying(system).copy()
    assert (told.written, told.held, told.waiting, told.trouble) == (3, 3, 0, "")
    assert (world.folder / "out" / "pumps" / "releases.json").is_file()
    stamps = {path: path.stat().st_mtime_ns for path in (world.folder / "out").rglob("*")}
    (told,) = world.copying(system).copy()
    assert told.written == 0
    assert {path: path.stat().st_mtime_ns for path in (world.folder / "out").rglob("*")} == stamps
    world.training(f"{0:016x}", figures={"quality.mae": 9.0})  # trained again, and a fact says so
    world.trial(7, f"{0:016x}")
    (told,) = world.copying(system).copy()
    assert told.written == 1
    assert world.held()[f"{0:016x}"].training.figures == {"quality.mae": 9.0}


def test_one_training_that_is_refused_keeps_no_other_out(world, system, monkeypatch):
    for number in range(5):
        world.training(f"{number:016x}")
        world.trial(number, f"{number:016x}")
    write = FolderTracker.write

    def picky(self, told, contents):
        if told.training.id == f"{1:016x}":
            raise TrackerError("its name is too long")
        return write(self, told, contents)

    monkeypatch.setattr(FolderTracker, "write", picky)
    (told,) = world.copying(system).copy()
    assert (told.written, told.held, told.waiting) == (4, 4, 1)
    assert told.trouble == f"{1:016x}: its name is too long"
    monkeypatch.undo()
    (told,) = world.copying(system).copy(at_once=True)
    assert (told.written, told.waiting, told.trouble) == (1, 0, "")


def test_a_tracker_that_refuses_everything_is_not_asked_for_each(world, system, monkeypatch):
    for number in range(40):
        world.training(f"{number:016x}")
        world.trial(number, f"{number:016x}")
    asked = []

    def refuse(self, told, contents):
        asked.append(told.training.id)
        raise TrackerError("the key is wrong")

    monkeypatch.setattr(FolderTracker, "write", refuse)
    (told,) = world.copying(system).copy()
    assert (told.waiting, told.trouble) == (40, "the key is wrong")
    assert len(asked) == 3


def test_a_fault_of_another_library_fails_nothing(world, system):
    world.training("a" * 16)
    world.trial(1, "a" * 16)
    copying = world.copying(system)
    copying._opened = lambda spec: 1 / 0
    (told,) = copying.copy()
    assert "ZeroDivisionError" in told.trouble
    world.down = True
    (told,) = world.copying(system).copy(at_once=True)
    assert told.trouble == "there is nobody"
    assert world.index.trouble("folder:out").tries == 2


def test_nothing_of_people_goes_out(world, system):
    digest = world.blobs.put(b"a face")
    world.training("a" * 16, private=True, reason="no row of john smith", dropped=("john.png",),
                   artifacts=(Artifact(name="john.png", digest=digest, size=6),))  # fmt: skip
    world.trial(1, "a" * 16)
    world.copying(system).copy()
    sent = b"".join(path.read_bytes() for path in (world.folder / "out").rglob("*") if path.is_file())
    assert b"john" not in sent
    assert b"a face" not in sent
    told = world.held()["a" * 16].training
    assert told.reason == "it failed; `trimtab log` says why"
    assert told.dropped == ("some of what it logged or saved",)


def test_a_damaged_index_says_what_to_do(world, tmp_path):
    (tmp_path / "other.db").write_bytes(b"no database" * 1000)
    with pytest.raises(PermanentError, match="damaged") as caught:
        Index(tmp_path / "other.db")
    assert "delete it" in caught.value.hint


def test_files_can_be_left_here(world, system):
    digest = world.blobs.put(b"a plot")
    world.training("a" * 16, artifacts=(Artifact(name="plot.png", digest=digest, size=6),))
    world.trial(1, "a" * 16)
    world.copying(system, artifacts=False).copy()
    assert world.held()["a" * 16].training.artifacts == ()
    assert not list((world.folder / "out").rglob("plot.png"))


def test_the_best_of_a_thousand_is_found_in_order(world):
    draw = random.Random(3)
    figures = {f"{number:016x}": draw.random() for number in range(200)}
    for number, (identity, figure) in enumerate(figures.items()):
        world.training(identity, figures={"quality.roc_auc": figure, "quality.f1": 1.0})
        world.trial(number, identity)
    refresh(world.index, world.ledger, world.blobs)
    best = world.index.best("quality.roc_auc", highest=True, limit=10)
    wanted = sorted(figures, key=lambda name: -figures[name])[:10]
    assert [each.id for each in best] == wanted
    assert len(world.index.best("quality.f1", highest=True, limit=1000)) == 200


def test_trainings_of_an_experiment_tell_its_verdict(world, system):
    world.training("a" * 16)
    world.training("b" * 16)
    rounds = (Round(folds=1, difference=0, low=0, high=0, level=0.05, rows=1, blocks=1, answer="refuted",
                    models=(("a" * 16, "b" * 16),)),)  # fmt: skip
    world.ledger.append("experiment:deeper:1", ExperimentFinished(
        name="deeper", hypothesis="Deeper is better", expect="quality.mae <= baseline", metric="quality.mae", margin=0,
        verdict="refuted", why="it is not", reference=0, changed=0, difference=0, low=0, high=0,
        smallest_detectable=None, dataset="d", dataset_version="v", changed_by=("depth = 4",), rounds=rounds,
    ), at=NOW)  # fmt: skip
    world.copying(system).copy()
    held = world.held()
    assert [held[key * 16].study["arm"] for key in "ab"] == ["reference", "changed"]
    assert texts_of(held["b" * 16])["trimtab.verdict"] == "refuted"
    assert texts_of(held["b" * 16])["trimtab.hypothesis"] == "Deeper is better"
