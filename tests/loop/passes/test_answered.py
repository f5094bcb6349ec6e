"""Two recognisers on the same labelled rows: judged, compared, gated, and the live one watched as rows become known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest
from tests.training.media.test_work import RECOGNISE, people

from trimtab.declaration.load import parse
from trimtab.declaration.system import System
from trimtab.loop.passes.answered import AnsweredRows
from trimtab.loop.passes.gate import Gate
from trimtab.loop.passes.jobs import job_of
from trimtab.loop.past.history import HistoricDatasets, with_moments
from trimtab.loop.releases import ReleaseState
from trimtab.records.blobs import Blobs
from trimtab.records.facts import ModelTrained
from trimtab.records.ledger import Ledger
from trimtab.training.trainer import Trained, Trainer

TOML = """
[system]
name = "door"
problem = "Who is it"
task = "recognition"
[requirements]
"quality.accuracy" = { limit = ">= 0.5", min_rows = 10 }
"quality.rank_1" = { limit = ">= 0.9", by = "place", min_rows = 5 }
"quality.true_accept" = { limit = ">= 0.5", min_rows = 4, window = "4 d" }
[[data]]
name = "faces"
source = "python:faces:rows"
key = "id"
time = "at"
label = "y"
media = ["photo"]
[model]
code = "model.py"
params = { threshold = 0.9 }
holdout = "7 d"
[model.media.photo]
image = { size = [8, 8] }
[policy]
release = ["live"]
"""
NOW = datetime(2024, 2, 10, tzinfo=UTC)


@dataclass
class Door:
    """A system with two models: one that is calibrated, and one that takes nobody for anybody."""

    system: System
    blobs: Blobs
    datasets: HistoricDatasets
    good: ModelTrained
    timid: ModelTrained


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("door")
    (folder / "model.py").write_text(RECOGNISE)
    (folder / "faces.py").write_text("def rows(since, until): ...\n")
    system = parse(TOML, folder / "trimtab.toml")
    train, valid = people()
    rows = with_moments(pl.concat([train, valid]), system)
    blobs = Blobs(folder / "blobs")
    with Trainer(blobs, Path(folder / "work")) as trainer:
        made = []
        for threshold in (0.9, 50.0):
            job = job_of(system, "v1", "test")
            job = msgspec.structs.replace(job, params={"threshold": threshold}, refit=True)
            result = trainer.train(job, train, valid)
            assert isinstance(result, Trained), result.fact.log
            made.append(result.fact)
    yield Door(system, blobs, HistoricDatasets(system, rows), *made)


def test_a_challenger_that_is_worse_is_refused_and_a_better_one_passes(door: Door) -> None:
    with Ledger.open(None) as ledger:
        gate = Gate(system=door.system, ledger=ledger, blobs=door.blobs, datasets=door.datasets)
        release = ReleaseState(release="r-2", model="m", stage="candidate", since=NOW)
        worse, facts = gate.judge(release, door.timid, door.good, "1", NOW)
        better, _ = gate.judge(release, door.good, door.timid, "2", NOW)
        first, _ = gate.judge(release, door.good, None, "3", NOW)
    assert not worse.passed
    assert "quality.true_accept broken" in worse.why
    assert better.passed, better.why
    assert "quality.accuracy" in better.why
    assert first.passed
    compared = [draft.fact for draft in facts if draft.key.startswith("compared:")]
    assert [one.metric for one in compared] == ["quality.accuracy"]  # type: ignore[union-attr]
    assert compared[0].verdict == "worse"  # type: ignore[union-attr]


def test_the_live_model_is_judged_by_rows_that_came_after_its_own(door: Door) -> None:
    asking = AnsweredRows(door.system, door.blobs, door.datasets)
    assert {one.status for one in asking.live(door.good, NOW)} == {"unknown"}, "nothing has come yet"
    early = msgspec.structs.replace(door.good, valid_to=door.good.train_to)
    last = door.good.valid_to + timedelta(hours=1)
    verdicts = {one.metric: one for one in asking.live(early, last)}
    assert verdicts["quality.accuracy"].status == "met"
    assert verdicts["quality.rank_1"].slice in ("in", "out")
    assert 0 < verdicts["quality.true_accept"].rows < verdicts["quality.accuracy"].rows, "its window is shorter"
    timid = msgspec.structs.replace(door.timid, valid_to=door.timid.train_to)
    broken = {one.metric: one.status for one in asking.live(timid, last)}
    assert broken["quality.true_accept"] == "broken"
    assert {one.place for one in asking.live(timid, last)} == {"live"}
