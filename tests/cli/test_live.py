"""A system that lives on the machine's own clock: the loop beside its server, fed, edited and asked meanwhile."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.cli.conftest import Cli, Place, outcome, real

from trimtab.records.server import ServerInfo
from trimtab.serving.client.answers import Truth
from trimtab.serving.client.sync import Client

ROW = {"pump": "north", "load": 55.0, "outside": 17.5, "age": 6.0}


def told(ran_out: str) -> list[str]:
    """The first words of the lines that tell of actions."""
    return [line.split()[0] for line in ran_out.split("\n\n", maxsplit=1)[0].splitlines()]


def test_from_nothing_to_live_and_then_nothing_to_do(cli: Cli, fresh: Place) -> None:
    first = cli("run", fresh)
    assert first.code == 0, first.said
    assert told(first.out) == ["collect", "done", "train", "done", "gate", "done", "settled:"]
    second = cli("run", fresh)
    assert second.code == 0
    assert told(second.out) == ["collect", "done", "settled:"]
    assert "nothing to do: r-001 is live and no declared cause holds" in second.out


def test_new_rows_are_collected_and_nothing_twice(cli: Cli, lived: Place) -> None:
    lived.grow(2)
    assert outcome(cli("run", lived), "done").endswith("2 new rows")
    assert outcome(cli("run", lived), "done").endswith("nothing is new")
    assert cli("data", "list", lived, "--json").json[0]["version"]["rows"] == 1502


@pytest.mark.parametrize(
    ("file", "old", "new", "trains"),
    [
        ("scaling.py", "StandardScaler()", "StandardScaler(with_std=False)", True),
        ("trimtab.toml", "C = 1.0", "C = 0.3", True),
        ("model.py", "def train(", "# a comment\ndef train(", False),
        ("scaling.py", '    """Mean zero, variance one."""\n', "", False),
        ("readings.py", "HEADER =", "OTHER = 1\nHEADER =", False),
        ("trimtab.toml", "[system]", "# a comment\n[system]", False),
    ],
    ids=["a module it uses", "a hyper-parameter", "a comment", "a docstring", "a module it does not use", "a remark"],
)
def test_what_makes_it_train_again(cli: Cli, lived: Place, file: str, old: str, new: str, trains: bool) -> None:
    lived.edit(file, old, new)
    ran = cli("run", lived)
    assert ran.code == 0, ran.said
    assert ("train" in told(ran.out)) is trains
    if trains:
        assert "code_changed" in ran.out
        assert re.search(r"^(done|refused) +r-002 ", ran.out, re.MULTILINE), "the gate has decided on it"
        diff = cli("models", "diff", lived, "r-001", "r-002", "--json").json
        assert (bool(diff["code"]), bool(diff["params"]), bool(diff["data"])) == (
            file == "scaling.py",
            file == "trimtab.toml",
            False,
        )
        assert [one["path"] for one in diff["files"]] == ([file] if file == "scaling.py" else [])
        assert all(any(line[0] == "+" and new in line for line in one["unified"]) for one in diff["files"])


def test_once_collects_and_decides(cli: Cli, fresh: Place) -> None:
    assert told(cli("run", fresh, "--once").out) == ["collect", "done", "train", "done", "did"]
    assert told(cli("run", fresh, "--once").out) == ["collect", "done", "gate", "done", "did"]
    last = cli("run", fresh, "--once", "--json").json
    assert [done["actions"] for done in last["passes"]] == [["collect"], []]


class Up:
    """`trimtab up` in a process of its own, with what it says in a file."""

    def __init__(self, place: Place, log: Path) -> None:
        self.place, self.log = place, log
        command = [sys.executable, "-m", "trimtab.cli.main", "up", str(place), "--every", "0.5", "--json"]
        with log.open("wb") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=file)

    def lines(self) -> list[dict[str, str]]:
        """What it has said so far."""
        return [json.loads(line) for line in self.log.read_text("utf-8").splitlines()]

    def wait_for(self, what: str, text: str = "", outcome: str | None = None, seconds: float = 40.0) -> dict[str, str]:
        """The first line about `what` that holds `text`."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for line in self.lines():
                if line["what"] == what and text in line["text"] and outcome in (None, line["outcome"]):
                    return line
            assert self.process.poll() is None, self.log.read_text("utf-8")
            time.sleep(0.05)
        raise AssertionError(f"no {what} {text!r} in {self.log.read_text('utf-8')}")

    @property
    def server(self) -> ServerInfo:
        """Where its server listens."""
        return msgspec.json.decode(
            (self.place.folder / ".trimtab" / "serve" / "server.json").read_bytes(), type=ServerInfo
        )

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Tell it to end, and wait."""
        self.process.send_signal(number)
        return self.process.wait(40)


@pytest.fixture
def up(lived: Place, tmp_path: Path) -> Iterator[Up]:
    lived.edit("trimtab.toml", "port = 8080", "port = 0")
    running = Up(lived, tmp_path / "up.log")
    try:
        running.wait_for("up", "serves at http://")
        yield running
    finally:
        if running.process.poll() is None:
            running.end()


def test_up_answers_hears_and_can_be_looked_at(up: Up) -> None:
    place = up.place
    with Client(up.server.url) as client:
        rows = [{**ROW, "load": float(load)} for load in range(5, 95)]
        answers = client.predict(rows, [f"row-{i}" for i in range(len(rows))])
        assert {answer.release for answer in answers} == {"r-001"}
        assert answers[-1].score > answers[0].score
        assert client.feedback([Truth(f"row-{i}", i % 2) for i in range(len(rows))]) == []
    status = real("status", place, "--json")
    assert status.code in (0, 1)
    until = time.monotonic() + 20
    while time.monotonic() < until:
        found = {v["metric"]: v for v in real("status", place, "--json").json["verdicts"]}
        if found["quality.roc_auc"]["rows"] and found["resources.memory"]["status"] == "met":
            break
        time.sleep(0.2)
    assert found["quality.roc_auc"]["place"] == "live"
    assert found["quality.roc_auc"]["rows"] == len(rows), "every truth that was told counts"
    assert "rows are too few to tell" in found["quality.roc_auc"]["reason"]
    assert found["resources.memory"]["status"] == "met"
    assert up.end(signal.SIGINT) == 0
    said = [line["text"] for line in up.lines() if line["what"] == "up"]
    assert said[-2:] == ["ending: the server answers what is due", "ended"]
    with pytest.raises(OSError):
        import os

        os.kill(up.server.pid, 0)


def test_up_takes_in_rows_and_edits_and_outlives_failures(up: Up) -> None:
    place = up.place
    pid = up.server.pid
    place.grow(2)
    up.wait_for("collect", "2 new rows")
    place.edit("model.py", "max_iter=300", "max_iter=300 +")
    assert "model.py" in up.wait_for("train", "not valid Python", "failed")["text"]
    place.edit("model.py", "max_iter=300 +", "max_iter=301")
    up.wait_for("gate", "r-002")
    place.edit("trimtab.toml", "C = 1.0", "C = one")
    assert "trimtab.toml:33" in up.wait_for("round", "not valid TOML")["text"]
    place.edit("trimtab.toml", "C = one", "C = 0.01")
    up.wait_for("declared", "in force from here on")
    up.wait_for("gate", "r-003")
    (place.folder / "readings.csv").rename(place.folder / "away.csv")
    assert "no file matches" in up.wait_for("collect", "readings.csv", "failed")["text"]
    with Client(up.server.url) as client:
        assert client.predict([ROW], ["still-there"])[0].release in {"r-001", "r-002", "r-003"}
    assert up.server.pid == pid, "one server all along"


def test_up_brings_its_server_back(up: Up) -> None:
    import os

    first = up.server
    os.kill(first.pid, signal.SIGKILL)
    up.wait_for("server", "starting it again")
    with Client(first.url, patience=60.0) as client:
        assert client.predict([ROW], ["after"])[0].release == "r-001"
    assert up.server.pid != first.pid


def test_a_person_steps_in_while_it_is_up(up: Up) -> None:
    """Roll back, promote: between two rounds, and the server follows at once."""
    place = up.place
    place.edit("trimtab.toml", "C = 1.0", "C = 0.001")
    up.wait_for("gate", "r-002")
    live = real("status", place, "--json").json["live"]["release"]
    other = {"r-001": "r-002", "r-002": "r-001"}[live]
    ran = real("promote", place, other, "--why", "a trial")
    assert (ran.code, f"{other} is live: by hand: a trial" in ran.out) == (0, True), ran.said
    with Client(up.server.url) as client:
        assert client.predict([ROW], ["one"])[0].release == other
        ran = real("rollback", place, "--why", "no good")
        assert ran.code == 0, ran.said
        assert ran.out == f"done: {other} rolled back to {live}: by hand: no good\n"
        assert client.predict([ROW], ["two"])[0].release == live
    assert "by hand: no good" in real("log", place, "--kind", "release_moved").out


def test_serve_alone_follows_what_is_run_beside_it(lived: Place, free_port: int) -> None:
    lived.edit("trimtab.toml", "port = 8080", f"port = {free_port}")
    command = [sys.executable, "-m", "trimtab.cli.main", "serve", str(lived), "--json"]
    serving = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        with Client(f"http://127.0.0.1:{free_port}") as client:
            assert client.predict([ROW], ["one"])[0].release == "r-001"
            lived.edit("trimtab.toml", "C = 1.0", "C = 0.001")
            assert real("run", lived).code == 0
            ran = real("promote", lived, "r-002")
            assert ran.code == 0 or "is live already" in ran.out
            assert client.predict([ROW], ["two"])[0].release == "r-002"
    finally:
        serving.send_signal(signal.SIGTERM)
        out, _ = serving.communicate(timeout=30)
    assert serving.returncode == 0
    assert json.loads(out)["port"] == free_port
