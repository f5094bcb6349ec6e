"""State that cannot be used, and two who want it at once: told in one line, and what is kept stays as it was."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.cli.conftest import Cli, Place, is_live, one_line, real

LEADS = """
import sys, time
from pathlib import Path
from trimtab.wiring.place import open_place
with open_place(sys.argv[1], None) as place, place.{how}():
    print("leads", flush=True)
    time.sleep(60)
"""


@contextmanager
def another(place: Place, how: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that leads, or keeps watch."""
    command = [sys.executable, "-c", LEADS.format(how=how), str(place)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "leads\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_second_run_while_one_leads(cli: Cli, lived: Place) -> None:
    with another(lived, "lead") as leader:
        ran = cli("run", lived)
        assert ran.code == 1
        one_line(ran, "the lease `loop` is held by", f"pid {leader.pid}", "wait for it, or stop that process")
        for words in (("status", lived), ("plan", lived), ("data", "verify", lived), ("log", lived, "--verify")):
            assert cli(*words).code == 0, "looking is free"
        ran = cli("rollback", lived, "--wait", "0.2")
        assert ran.code == 1
        assert ran.err.splitlines()[0].startswith("trimtab: waiting: the lease `loop`")
        leader.send_signal(signal.SIGKILL)
        leader.wait()
        assert cli("run", lived).code == 0, "one that was killed leads no longer"


def test_a_second_watch(cli: Cli, lived: Place) -> None:
    with another(lived, "keep") as watcher:
        for verb in (("up", lived), ("run", lived, "--watch")):
            ran = cli(*verb)
            assert ran.code == 1
            one_line(ran, "the lease `watch` is held by", f"pid {watcher.pid}")
        assert cli("run", lived).code == 0, "between two rounds others may run"


def test_a_person_waits_for_the_pass_that_runs(lived: Place) -> None:
    with another(lived, "lead") as leader:
        command = [sys.executable, "-m", "trimtab.cli.main", "rollback", str(lived)]
        waiting = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert waiting.stderr is not None
        assert "waiting: the lease `loop` is held by" in waiting.stderr.readline()
        leader.kill()
        out, _ = waiting.communicate(timeout=30)
        assert out == "refused: there is no release to go back to from r-001\n"


def test_a_newer_ledger_is_left_alone(cli: Cli, lived: Place) -> None:
    ledger = lived.folder / ".trimtab" / "ledger.db"
    with sqlite3.connect(ledger) as database:
        database.execute("UPDATE trimtab_schema SET version = 99")
    database.close()
    for words in (("run", lived), ("status", lived), ("promote", lived, "r-001"), ("data", "list", lived)):
        ran = cli(*words)
        assert ran.code == 1
        one_line(ran, str(ledger), "schema version 99", "upgrade Trimtab")


def test_a_ledger_that_is_none(cli: Cli, lived: Place) -> None:
    ledger = lived.folder / ".trimtab" / "ledger.db"
    for other in ledger.parent.glob("ledger.db-*"):
        other.unlink()
    ledger.write_bytes(b"not a database, whatever it was" * 100)
    ran = cli("status", lived)
    assert ran.code == 1
    one_line(ran, str(ledger), "corrupt", "restore it from a backup")


def test_a_ledger_that_was_changed_behind_its_back(cli: Cli, lived: Place) -> None:
    assert cli("log", lived, "--verify").code == 0
    with sqlite3.connect(lived.folder / ".trimtab" / "ledger.db") as database:
        database.execute("DROP TRIGGER facts_are_never_changed")
        database.execute("""UPDATE facts SET fact = replace(fact, 'r-001', 'r-002') WHERE kind = 'release_moved'""")
    database.close()
    ran = cli("log", lived, "--verify")
    assert (ran.code, "the ledger was changed at fact" in ran.out) == (1, True)


def test_state_of_another_system_is_refused(cli: Cli, lived: Place) -> None:
    """A second declaration beside the first one: nothing is served, trained or removed in the other's name."""
    text = (lived.folder / "trimtab.toml").read_text("utf-8")
    lived.write("other.toml", text.replace("pump-alarm", "pump-watch"))
    other, before = lived.folder / "other.toml", cli("log", lived, "-n", "0").out
    for words in (("run", other), ("status", other), ("up", other), ("serve", other), ("promote", other, "r-001")):
        ran = cli(*words)
        assert ran.code == 2
        one_line(ran, str(other), f"{lived.folder}/.trimtab", '"pump-alarm", not of "pump-watch"', "--state DIR")
    assert cli("run", other, "--state", lived.folder / "other").code == 0
    assert cli("log", lived, "-n", "0").out == before
    is_live(cli, lived)


def test_a_fresh_replay_leaves_the_state_of_another_system_alone(cli: Cli, lived: Place) -> None:
    text = (lived.folder / "trimtab.toml").read_text("utf-8").replace("pump-alarm", "pump-watch")
    span = 'start = "2026-01-01T00:00:00Z"\nend = "2026-01-02T00:00:00Z"\nstep = "1 d"\n'
    lived.write("other.toml", f"{text}\n[replay]\n{span}")
    ran = cli("replay", lived.folder / "other.toml", "--fresh")
    assert ran.code == 2
    one_line(ran, '"pump-alarm", not of "pump-watch"')
    is_live(cli, lived)


def test_a_system_that_was_renamed(cli: Cli, lived: Place) -> None:
    """What it was called until now is said once; from its first pass under the new name on it need not be."""
    lived.edit("trimtab.toml", "pump-alarm", "pump-watch")
    ran = cli("run", lived)
    assert ran.code == 2
    one_line(ran, 'formerly = "pump-alarm" in [system]')
    lived.edit("trimtab.toml", "[system]", '[system]\nformerly = "pump-alarm"')
    assert cli("run", lived).code == 0
    lived.edit("trimtab.toml", 'formerly = "pump-alarm"', "")
    is_live(cli, lived)
    lived.edit("trimtab.toml", "pump-watch", "pump-alarm")
    one_line(cli("status", lived), '"pump-watch", not of "pump-alarm"')


def test_a_state_folder_that_cannot_be_made(cli: Cli, fresh: Place) -> None:
    (fresh.folder / "taken").write_text("a file")
    for verb in ("run", "serve", "up"):
        ran = cli(verb, fresh, "--state", fresh.folder / "taken" / "state")
        assert ran.code == 1
        one_line(ran, str(fresh.folder / "taken"), "Not a directory")


def test_a_store_that_cannot_be_written(cli: Cli, fresh: Place) -> None:
    """The folder of the blobs is a file: the training cannot be kept, says so, and is made up for later."""
    state = fresh.folder / ".trimtab"
    state.mkdir()
    (state / "blobs").write_text("in the way")
    ran = cli("run", fresh)
    assert ran.code == 1
    assert str(state / "blobs") in ran.said
    (state / "blobs").unlink()
    assert cli("run", fresh).code in (0, 1)
    fresh.write("model.py", (fresh.folder / "model.py").read_text("utf-8").replace("=300", "=299"))
    assert cli("run", fresh).code == 0
    is_live(cli, fresh)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("promote", "r-009"), 1, "failed: no release is called 'r-009'"),
        (("promote", "r-001"), 1, "refused: r-001 is live already"),
        (("rollback",), 1, "refused: there is no release to go back to from r-001"),
        (("rollback", "--to", "r-7"), 1, "failed: no release is called 'r-7'"),
        (("rollback", "--to", "r-001"), 1, "refused: there is no release to go back to from r-001"),
        (("models", "show", "r-9"), 2, "no model or release is called 'r-9'"),
        (("models", "diff", "r-9"), 2, "no model or release is called 'r-9'"),
        (("models", "reproduce"), 2, "write `trimtab models reproduce [SYSTEM] MODEL`"),
        (("data", "show", "reading"), 2, "no dataset is called 'reading'; did you mean \"readings\"?"),
        (("data", "show", "readings", "abcd1234"), 1, "has no version 'abcd1234' (the nearest name is"),
        (("data", "diff", "readings"), 2, "write `trimtab data diff [SYSTEM] NAME A [B]`"),
        (("data", "export", "readings", "rows.xls"), 1, "cannot export to rows.xls (end the name in"),
        (("data", "export", "readings", "no/such/folder/rows.csv"), 1, "cannot write no/such/folder/rows.csv"),
    ],
)
def test_a_name_that_is_none(
    cli: Cli, lived: Place, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int, told: str
) -> None:
    monkeypatch.chdir(lived.folder)
    ran = cli(*words)
    assert (ran.code, told in ran.said) == (code, True), ran.said
    assert len(ran.said.strip().splitlines()) == 1
    is_live(cli, lived)


def test_a_server_that_is_there_already(lived: Place, free_port: int) -> None:
    lived.edit("trimtab.toml", "port = 8080", f"port = {free_port}")
    command = [sys.executable, "-m", "trimtab.cli.main", "serve", str(lived)]
    serving = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert serving.stderr is not None
        while "listening" not in (line := serving.stderr.readline()):
            assert line, "it ended before it listened"
        ran = real("serve", lived)
        assert ran.code == 1
        one_line(ran, f"process {serving.pid}", f"http://127.0.0.1:{free_port}")
    finally:
        serving.send_signal(signal.SIGINT)
        out, err = serving.communicate(timeout=30)
    assert serving.returncode == 0, err
    assert f"serving pump-alarm at http://127.0.0.1:{free_port} (r-001 is live)" in out


def test_an_address_that_is_taken(lived: Place, free_port: int) -> None:
    import socket

    lived.edit("trimtab.toml", "port = 8080", f"port = {free_port}")
    with socket.create_server(("127.0.0.1", free_port)):
        for verb in ("serve", "up"):
            ran = real(verb, lived)
            assert ran.code == 1
            assert f"cannot listen at 127.0.0.1:{free_port}" in ran.err
            assert verb == "up" or "another program listens there" in ran.err
            assert "serving" not in ran.out
    assert not list((lived.folder / ".trimtab" / "serve").glob("*.tmp"))


def test_a_killed_run_is_gone_on_with(cli: Cli, fresh: Place) -> None:
    """Killed while it trains, it leaves nothing in the way, and the next one ends where it would have ended."""
    fresh.edit("model.py", "    model = ", "    import time\n    time.sleep(1.5)\n    model = ")
    command = [sys.executable, "-m", "trimtab.cli.main", "run", str(fresh)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    while not running.stdout.readline().startswith("train"):
        assert running.poll() is None
    time.sleep(0.5)
    running.kill()
    running.wait()
    running.stdout.close()
    assert cli("run", fresh).code == 0
    is_live(cli, fresh)
    kinds = [line.split()[2] for line in cli("log", fresh, "-n", "0").out.splitlines()]
    assert (kinds.count("model"), kinds.count("data")) == (1, 1)
    assert not list((Path(str(fresh)) / ".trimtab" / "work").glob("training-*"))
