"""What annotators say, kept once and completely, whatever happens between the tool and the rows."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest

from trimtab.data.store.versions import DatasetStore
from trimtab.declaration.load import parse
from trimtab.labels.port import Annotation, Item, LabelsError, Pull, Push
from trimtab.loop.past import annotated
from trimtab.loop.past.annotated import Labelling, items_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DECLARED = """
[system]
name = "birds"
problem = "Is there a bird"
task = "binary_classification"

[labels]
kind = "class"
classes = ["no", "yes"]

[[data]]
name = "photos"
source = "photos.csv"
key = "photo"
time = "taken"
label = "bird"

[model]
code = "model.py"
"""


class Told:
    """A tool that tells what was put into it, with the number of its changes as the cursor."""

    def __init__(self) -> None:
        self.said: dict[str, tuple[int, Annotation]] = {}
        self.changed: dict[str, int] = {}
        self.asked: list[str] = []

    def say(self, person: str, item: str, value: str, *, at: datetime = NOW) -> None:
        name, number = f"{person} {item}", len(self.changed) + sum(self.changed.values()) + 1
        self.said[name] = (number, Annotation(id=name, item=item, annotator=person, at=at, value=value))
        self.changed[item] = number

    def withdraw(self, person: str, item: str) -> None:
        del self.said[f"{person} {item}"]
        self.changed[item] = sum(self.changed.values()) + 1

    def push(self, items: Sequence[Item]) -> Push:
        raise NotImplementedError

    def pull(self, cursor: str = "") -> Pull:
        self.asked.append(cursor)
        items = [item for item, number in self.changed.items() if number > int(cursor or 0)]
        found = tuple(a for _, a in self.said.values() if a.item in items)
        return Pull(items=tuple(items), annotations=found, cursor=str(max(self.changed.values(), default=0)))


@pytest.fixture
def tool() -> Told:
    return Told()


@pytest.fixture
def photos(tmp_path: Path) -> DatasetStore:
    (tmp_path / "model.py").write_text("def train(train, valid, params):\n    return None\n")
    system = parse(DECLARED, tmp_path / "trimtab.toml")
    store = DatasetStore(tmp_path / "data", system.data[0])
    taken = [NOW - timedelta(hours=n) for n in range(6)]
    rows = {"photo": [f"p{n}" for n in range(6)], "taken": taken, "bird": [None, None, None, None, None, "yes"]}
    store.collect(pl.DataFrame(rows, schema_overrides={"bird": pl.String}), until=NOW, now=NOW)
    return store


def opened(tmp_path: Path, tool: Told) -> Labelling:
    return Labelling(parse(DECLARED, tmp_path / "trimtab.toml"), tmp_path / "data", lambda: tool)


def birds(photos: DatasetStore) -> dict[str, str | None]:
    return dict(photos.read(columns=["photo", "bird"]).iter_rows())


def test_labels_come_and_go_with_what_is_said(tmp_path: Path, tool: Told, photos: DatasetStore) -> None:
    one = opened(tmp_path, tool)
    for person in ("ann", "bob"):
        tool.say(person, "p0", "yes")
        tool.say(person, "p1", "no")
    one.pull(photos, NOW)
    one.complete(photos, NOW)
    assert birds(photos) == {"p0": "yes", "p1": "no", "p2": None, "p3": None, "p4": None, "p5": "yes"}
    tool.say("bob", "p1", "yes", at=NOW + timedelta(minutes=1))
    tool.withdraw("bob", "p0")
    later = NOW + timedelta(hours=1)
    one.pull(photos, later)
    one.complete(photos, later)
    assert birds(photos) == {"p0": None, "p1": None, "p2": None, "p3": None, "p4": None, "p5": "yes"}
    assert [(c.item, c.labels) for c in one.contested()] == [("p1", {"ann": "no", "bob": "yes"})]
    states = one.store.read(columns=["annotation", "state"]).sort("annotation", "state").rows()
    assert states.count(("bob p0", "withdrawn")) == 1
    assert one.pull(photos, later) == one.pull(photos, later), "nothing new is no new version"
    assert len(one.store.versions()) == 2
    assert photos.verify().sound
    assert one.store.verify().sound


def test_the_cursor_moves_only_once_the_rows_are_stored(
    tmp_path: Path, tool: Told, photos: DatasetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool.say("ann", "p0", "yes")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(annotated, "write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            opened(tmp_path, tool).pull(photos, NOW)
    one = opened(tmp_path, tool)
    one.pull(photos, NOW)
    one.pull(photos, NOW)
    assert tool.asked == ["", "", "1"]
    assert one.store.read().height == 1
    assert one.store.quarantined().total == 0


def test_what_a_clock_ahead_of_ours_says_is_not_lost(tmp_path: Path, tool: Told, photos: DatasetStore) -> None:
    tool.say("ann", "p0", "yes", at=NOW + timedelta(minutes=3))
    one = opened(tmp_path, tool)
    assert one.pull(photos, NOW) is None
    one.pull(photos, NOW + timedelta(minutes=5))
    assert one.store.read().height == 1


def test_rows_that_come_later_bring_the_labels_that_were_there(
    tmp_path: Path, tool: Told, photos: DatasetStore
) -> None:
    one = opened(tmp_path, tool)
    for person in ("ann", "bob"):
        tool.say(person, "p9", "yes")
    one.pull(photos, NOW)
    rows = pl.DataFrame({"photo": ["p8", "p9"], "taken": [NOW, NOW]})
    assert one.with_labels(rows)["bird"].to_list() == [None, "yes"]
    assert one.with_labels(rows.with_columns(bird=pl.lit(None))).schema["bird"] == pl.String


def test_a_column_that_cannot_hold_the_label_says_so(tmp_path: Path, tool: Told, photos: DatasetStore) -> None:
    one = opened(tmp_path, tool)
    for person in ("ann", "bob"):
        tool.say(person, "p0", "yes")
    one.pull(photos, NOW)
    with pytest.raises(LabelsError, match="the label 'yes' cannot stand in column 'bird', which holds Int64"):
        one.with_labels(pl.DataFrame({"photo": ["p0"], "bird": [1]}))


def test_an_item_of_several_keys_is_named_by_all_of_them(photos: DatasetStore) -> None:
    spec = msgspec.structs.replace(photos.spec, key=("photo", "side"))
    rows = pl.DataFrame({"photo": ["a", 'b"'], "side": [1, 2]})
    assert items_of(rows, spec).to_list() == ['{"photo":"a","side":"1"}', '{"photo":"b\\"","side":"2"}']


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_pull_that_is_killed_at_any_instant_loses_and_doubles_nothing(tmp_path: Path, photos: DatasetStore) -> None:
    (tmp_path / "trimtab.toml").write_text(DECLARED)
    (tmp_path / "photos.csv").write_text("photo,taken\n")
    (tmp_path / ".trimtab").mkdir()
    (tmp_path / "data").rename(tmp_path / ".trimtab" / "data")
    (tmp_path / "labels").mkdir()
    dice, wanted = random.Random(3), 0
    command = [sys.executable, "-m", "trimtab.cli.main", "labels", "pull", str(tmp_path)]
    for _ in range(12):
        with (tmp_path / "labels" / "said.ndjson").open("a") as file:
            for _ in range(200):
                at = datetime.now(UTC).isoformat()
                line = {"item": f"p{wanted % 6}", "annotator": f"a{wanted}", "value": "yes", "at": at}
                file.write(json.dumps(line) + "\n")
                wanted += 1
        pulling = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(dice.uniform(0.3, 2.5))
        if pulling.poll() is None:
            os.kill(pulling.pid, signal.SIGKILL)
        pulling.wait()
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    system = parse(DECLARED, tmp_path / "trimtab.toml")
    assert system.annotations is not None
    store = DatasetStore(tmp_path / ".trimtab" / "data", system.annotations)
    rows = store.read()
    assert rows.height == rows["annotation"].n_unique() == wanted
    assert store.verify().sound
    assert set(birds(DatasetStore(tmp_path / ".trimtab" / "data", system.data[0])).values()) == {"yes"}
