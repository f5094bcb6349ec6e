"""A person is forgotten: afterwards no byte of them can be read anywhere below the state folder."""

from __future__ import annotations

import io
import re
import signal
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
from tests.cli.conftest import Cli, Place, real

from trimtab.data.spec import DatasetSpec
from trimtab.data.store.tables.place import FolderPlace
from trimtab.data.store.tables.table import Table
from trimtab.data.store.versions import DatasetStore
from trimtab.declaration.load import load
from trimtab.records.facts import DataExpired, ModelTrained, PersonForgotten
from trimtab.records.ledger import Ledger
from trimtab.serving.client.answers import Truth
from trimtab.serving.client.sync import Client

MASTER = "5a" * 32
PEOPLE = 8
GONE = "crew-000003"
SECRETS = (GONE, "Person Surname3", "p3@private.example", "Surname3", "p3@priv")
CREW = """
[[data]]
name = "crew"
source = "crew.csv"
key = "shift"
time = "begins"
subject = "engineer"
personal = ["email"]

[[features]]
view = "crew"
source = "crew"
entity = "engineer"
time = "begins"
columns = ["skill"]

[model]"""


def person(number: int) -> tuple[str, str, str]:
    """An engineer's id, name and address."""
    return f"crew-{number:06d}", f"Person Surname{number}", f"p{number}@private.example"


@pytest.fixture(autouse=True)
def _master(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMTAB_MASTER_KEY", MASTER)


@pytest.fixture
def staffed(fresh: Place) -> Place:
    """The minimal system, in which engineers read the pumps; they feed a feature too."""
    header, *lines = (fresh.folder / "readings.csv").read_text("utf-8").splitlines()
    rows = [f"{header},engineer,name,email"]
    rows += [f"{line},{','.join(person(number % PEOPLE))}" for number, line in enumerate(lines)]
    rows[100] = re.sub(r",(north|south|east),", ",nowhere,", rows[100])  # refused: it breaks a rule
    assert GONE in rows[100]
    (fresh.folder / "readings.csv").write_text("\n".join(rows) + "\n", "utf-8")
    first = lines[0].split(",")[1]
    shifts = [f"s-{n},{first},{person(n)[0]},{n}.5,{person(n)[2]}" for n in range(PEOPLE)]
    fresh.write("crew.csv", "\n".join(["shift,begins,engineer,skill,email", *shifts]) + "\n")
    fresh.edit("trimtab.toml", 'label = "hot"', 'label = "hot"\nsubject = "engineer"\npersonal = ["name", "email"]')
    fresh.edit("trimtab.toml", "\n[model]", CREW)
    fresh.edit("trimtab.toml", '"age"]', '"age", "skill"]')
    return fresh


@contextmanager
def served(place: Place, port: int) -> Iterator[Client]:
    """A server that runs, asked for predictions of everybody and told the truth."""
    command = [sys.executable, "-m", "trimtab.cli.main", "serve", str(place), "--json"]
    place.edit("trimtab.toml", "port = 8080", f"port = {port}")
    serving = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        with Client(f"http://127.0.0.1:{port}", patience=20.0) as client:
            for number in range(PEOPLE):
                ask(client, number)
            yield client
    finally:
        serving.send_signal(signal.SIGTERM)
        serving.wait(20)
        assert serving.stdout is not None
        serving.stdout.close()


def ask(client: Client, number: int) -> None:
    """Ask for a prediction about somebody, and tell the truth."""
    who = person(number)[0]
    row = {"pump": "north", "load": 40.0 + number, "outside": 15.0, "age": 3.0, "engineer": who}
    client.predict([row], [f"{who}/2024-{number}"])
    client.feedback([Truth(f"{who}/2024-{number}", 1.0)])


def texts(state: Path) -> Iterator[tuple[str, str]]:
    """Everything below a state folder: each file as bytes, and what its readers tell of it once it is uncompressed."""
    for path in sorted(state.rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        yield str(path), data.decode("latin-1")
        if data[:6] == b"ARROW1":
            yield f"{path} (Arrow)", str(pl.read_ipc(io.BytesIO(data)).to_dicts())
        if data[:15] == b"SQLite format 3":
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
                yield f"{path} (SQLite)", "\n".join(connection.iterdump())
            connection.close()
        if data[:2] == b"PK":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                for name in archive.namelist():
                    yield f"{path} ({name})", archive.read(name).decode("latin-1")
    for lance in sorted(state.rglob("*.lance")):
        if (lance / "_versions").is_dir():
            table = Table(FolderPlace(lance))
            for number in range(1, table.number + 1):
                yield f"{lance} (version {number})", str(table.read(number).to_dicts())


def found(state: Path) -> list[str]:
    """Where the person still can be read."""
    return [f"{where}: {secret}" for where, text in texts(state) for secret in SECRETS if secret in text]


def stores(place: Place) -> Iterator[tuple[DatasetSpec, DatasetStore]]:
    for spec in load(place.folder).data:
        yield spec, DatasetStore(place.folder / ".trimtab" / "data", spec)


def test_no_byte_of_a_forgotten_person_can_be_read(cli: Cli, staffed: Place, free_port: int) -> None:
    state = staffed.folder / ".trimtab"
    ran = cli("run", staffed)
    assert ran.code == 0, ran.said
    with served(staffed, free_port):
        pass
    at_rest = {line.split(":")[0].split(" (")[0] for line in found(state)}
    assert at_rest, "telemetry and the features to look up are in the open"
    assert all("telemetry" in name or "features.db" in name for name in at_rest), at_rest
    with Ledger.open(state / "ledger.db", create=False) as ledger:
        before = next(iter(ledger.entries(ModelTrained)))
    read = {spec.name: store.read() for spec, store in stores(staffed)}
    assert GONE in read["readings"]["engineer"]

    asked = cli("forget", staffed, GONE)
    assert asked.code == 1
    assert "--yes" in asked.out
    assert before.fact.identity.id[:10] in asked.out
    done = cli("forget", staffed, GONE, "--yes", "--json")
    assert done.code == 0, done.said
    assert done.json["forgotten"] is True
    assert done.json["left"] == []
    assert done.json["models"] == [before.fact.identity.id]
    assert done.json["keys"] == 1
    assert {name: len(held) for name, held in done.json["versions"].items()} == {"readings": 1, "crew": 1}
    assert [held["rows"] for held in done.json["telemetry"]] == [2]
    assert done.json["features"] == 1

    assert found(state) == []
    for spec, store in stores(staffed):
        assert all(store.verify(version.id).sound for version in store.versions())
        rows = store.read()
        assert rows.height == read[spec.name].height
        assert GONE not in rows["engineer"]
        assert rows["engineer"].null_count() == (read[spec.name]["engineer"] == GONE).sum()
        assert rows["email"].null_count() == rows["engineer"].null_count()
        others = rows.filter(pl.col("engineer").is_not_null())
        assert others.equals(read[spec.name].filter(pl.col("engineer") != GONE))
    assert cli("telemetry", "verify", staffed).code == 0
    assert len(cli("telemetry", "list", staffed, "--json").json["segments"]) == 1
    assert cli("log", staffed, "--verify").code == 0

    ran = cli("run", staffed)
    assert ran.code == 0, ran.said
    assert "person_forgotten" in ran.out
    assert re.search(r"^done +r-002 is live", ran.out, re.MULTILINE), ran.out
    assert found(state) == []
    with Ledger.open(state / "ledger.db", create=False) as ledger:
        assert ledger.verify() is None
        models = [entry.fact for entry in ledger.entries(ModelTrained)]
        proof = [entry.fact for entry in ledger.entries(PersonForgotten)]
    assert models[0] == before.fact, "the proof of the old model stays"
    assert models[0].identity.code == models[1].identity.code
    assert models[0].identity.data != models[1].identity.data
    assert models[1].rows < models[0].rows
    assert [one.models for one in proof] == [(before.fact.identity.id,)]
    settled = cli("run", staffed)
    assert "nothing to do: r-002 is live" in settled.out

    again = cli("forget", staffed, GONE, "--yes")
    assert again.code == 0
    assert "forgotten already" in again.out
    unknown = cli("forget", staffed, "nobody-at-all", "--yes")
    assert unknown.code == 1
    assert "nobody is called so" in unknown.err
    assert "forgot" in cli("log", staffed).out


def test_a_server_that_runs_goes_on_serving(cli: Cli, staffed: Place, free_port: int) -> None:
    state = staffed.folder / ".trimtab"
    assert cli("run", staffed).code == 0
    with served(staffed, free_port) as client:
        done = cli("forget", staffed, GONE, "--yes", "--json")
        assert done.code == 0, done.said
        assert [held["rows"] for held in done.json["telemetry"]] == [2]
        assert found(state) == []
        for number in range(PEOPLE):
            if person(number)[0] != GONE:
                ask(client, number)
        assert re.search(r"^done +r-002 is live", cli("run", staffed).out, re.MULTILINE)
        client.predict([{"pump": "north", "load": 40.0, "outside": 15.0, "age": 3.0, "skill": 2.0}], [f"{GONE}/late"])
        again = cli("forget", staffed, GONE, "--yes", "--json")
        assert again.code == 0, again.said
        assert again.json["already"] is True
        rows = [held["rows"] for held in again.json["telemetry"]]  # by the live release, and by the one that stands by
        assert rows == [2, 2]
    assert found(state) == []
    assert cli("telemetry", "verify", staffed).code == 0


def test_a_system_without_people_says_so(cli: Cli, lived: Place) -> None:
    ran = cli("forget", lived, "somebody", "--yes")
    assert ran.code == 2
    assert "subject" in ran.err


def test_a_person_is_not_a_category_of_a_model(cli: Cli, staffed: Place) -> None:
    staffed.edit("trimtab.toml", '"age", "skill"]', '"age", "skill", "name"]')
    ran = cli("run", staffed)
    assert "would become a category" in ran.said
    assert found(staffed.folder / ".trimtab") == [] or all(
        "features.db" in line for line in found(staffed.folder / ".trimtab")
    )


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on(staffed: Place, free_port: int) -> None:
    assert real("run", staffed, TRIMTAB_MASTER_KEY=MASTER).code == 0
    with served(staffed, free_port):
        pass
    state = staffed.folder / ".trimtab"
    for step in range(14):
        process = subprocess.Popen([sys.executable, "-m", "trimtab.cli.main", "forget", str(staffed), GONE, "--yes"],
                                   stdout=subprocess.DEVNULL)  # fmt: skip
        try:
            process.wait(0.6 + 0.08 * step)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    done = real("forget", staffed, GONE, "--yes", "--json")
    assert done.code == 0, done.said
    assert done.json["keys"] == 1
    assert len(done.json["models"]) == 1
    assert found(state) == []
    assert real("telemetry", "verify", staffed).code == 0


def test_what_is_older_than_it_may_be_is_shredded_by_the_next_pass(cli: Cli, staffed: Place) -> None:
    staffed.edit("trimtab.toml", 'subject = "engineer"\npersonal = ["name", "email"]\n',
                 'subject = "engineer"\npersonal = ["name", "email"]\nretention = "20 d"\n')  # fmt: skip
    ran = cli("run", staffed)
    assert ran.code == 0, ran.said
    with Ledger.open(staffed.folder / ".trimtab" / "ledger.db", create=False) as ledger:
        (told,) = [entry.fact for entry in ledger.entries(DataExpired)]
        trained = next(iter(ledger.entries(ModelTrained))).fact
    store = next(store for spec, store in stores(staffed) if spec.name == "readings")
    rows = store.read()
    assert rows.filter(pl.col("name").is_not_null())["at"].min() >= told.before  # type: ignore[operator]
    assert 0 < rows["name"].null_count() < rows.height
    assert told.keys > 0
    assert trained.train_from >= told.before
    assert store.verify().sound
    assert "no longer readable" in cli("log", staffed).out


def test_what_is_personal_is_shown_only_when_asked(cli: Cli, staffed: Place, tmp_path: Path) -> None:
    assert cli("run", staffed).code == 0
    assert cli("data", "export", staffed, "readings", tmp_path / "a.csv").code == 0
    assert "Surname" not in (tmp_path / "a.csv").read_text("utf-8")
    assert cli("data", "export", staffed, "readings", tmp_path / "b.csv", "--personal").code == 0
    assert "Surname3" in (tmp_path / "b.csv").read_text("utf-8")
    assert "Surname" not in cli("data", "quarantine", staffed, "readings").out
    assert "Surname3" in cli("data", "quarantine", staffed, "readings", "--personal", "--json").out


def test_who_is_in_the_rows_is_shown(cli: Cli, lived: Place) -> None:
    lived.edit("trimtab.toml", 'label = "hot"', 'label = "hot"\npopulation = { pump = { north = 0.8, south = 0.2 } }')
    ran = cli("data", "bias", lived, "readings")
    assert ran.code == 0, ran.said
    assert re.search(r"north .*80\.0% +too few +1: ", ran.out), ran.out
    found = cli("data", "bias", lived, "readings", "--json").json
    assert [each["value"] for each in found["slices"]["pump"]] == sorted(
        ("north", "south", "east"),
        key=lambda pump: next(s["rows"] for s in found["slices"]["pump"] if s["value"] == pump),
    )
    assert sum(each["rows"] for each in found["slices"]["pump"]) == found["rows"]
    assert cli("data", "bias", lived, "readings", "pumb").code == 2
