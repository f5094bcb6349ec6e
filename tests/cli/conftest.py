"""The minimal system, fresh or after its first model, and the command line to run it with."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from trimtab.cli.main import main
from trimtab.wiring import serving

MINIMAL = Path(__file__).resolve().parents[1] / "systems" / "minimal"


@dataclass(frozen=True)
class Ran:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Everything it printed."""
        return self.out + self.err

    @property
    def json(self) -> Any:
        """Its one JSON document."""
        return json.loads(self.out)


Cli = Callable[..., Ran]


def _readings() -> ModuleType:
    spec = importlib.util.spec_from_file_location("minimal_readings", MINIMAL / "readings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


READINGS = _readings()


class Place:
    """One copy of the minimal system."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __str__(self) -> str:
        return str(self.folder)

    def edit(self, file: str, old: str, new: str) -> None:
        """Put `new` in the place of the one `old`."""
        path = self.folder / file
        text = path.read_text("utf-8")
        assert text.count(old) == 1, f"{file} holds {old!r} {text.count(old)} times"
        path.write_text(text.replace(old, new), "utf-8")

    def write(self, file: str, text: str) -> None:
        """A file of that text."""
        (self.folder / file).write_text(text, "utf-8")

    def append(self, *lines: str) -> None:
        """Further lines of the readings."""
        with (self.folder / "readings.csv").open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)

    def rows(self) -> list[str]:
        """The lines of the readings, without the header."""
        return (self.folder / "readings.csv").read_text("utf-8").splitlines()[1:]

    def grow(self, count: int, ago: float = 61.0) -> None:
        """`count` more readings, the newest `ago` minutes old: just over the hour after which the truth is known."""
        newest = datetime.now(UTC) - timedelta(minutes=ago)
        self.append(*READINGS.lines(len(self.rows()), count, newest))


def moment(hours: float = 1.5) -> str:
    """So many hours ago, as it stands in the file."""
    return f"{datetime.now(UTC) - timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"


def row(key: str, *, at: str | None = None, pump: str = "north", load: str = "50", hot: str = "1") -> str:
    """One reading; by default a good one of an hour and a half ago."""
    return f"{key},{at or moment()},{pump},{load},15,5,{hot}"


def _copied(to: Path) -> Place:
    shutil.copytree(MINIMAL, to, ignore=shutil.ignore_patterns("__pycache__"))
    READINGS.write(to / "readings.csv", datetime.now(UTC) - timedelta(hours=2))
    return Place(to)


@pytest.fixture
def fresh(tmp_path: Path) -> Place:
    """The minimal system before its first run."""
    return _copied(tmp_path / "system")


@pytest.fixture(scope="session")
def _first_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = _copied(tmp_path_factory.mktemp("first-model") / "system")
    ran = real("run", str(place))
    assert ran.code == 0, ran.said
    return place.folder


@pytest.fixture
def lived(_first_model: Path, tmp_path: Path) -> Place:
    """The minimal system with a model that is live."""
    shutil.copytree(_first_model, tmp_path / "system")
    return Place(tmp_path / "system")


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run a verb in this process: `cli("status", folder)`. What it prints has at most 100 columns."""
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("TRIMTAB_TRACEBACK", "")

    def run(*words: object) -> Ran:
        capfd.readouterr()
        code = main([str(word) for word in words])
        out, err = capfd.readouterr()
        ran = Ran(code, out, err)
        no_traceback(ran)
        return ran

    return run


def real(*words: object, timeout: float = 50.0, **environment: str) -> Ran:
    """Run a verb in a process of its own."""

    done = subprocess.run(
        [sys.executable, "-m", "trimtab.cli.main", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | environment,
        check=False,
    )
    ran = Ran(done.returncode, done.stdout, done.stderr)
    no_traceback(ran)
    return ran


def no_traceback(ran: Ran) -> None:
    """Whatever goes wrong is told in words. (A document for programs may hold the log of a training.)"""
    told = ran.err if ran.out.startswith(("{", "[")) else ran.said
    assert "Traceback" not in told, told
    assert "DeprecationWarning" not in ran.err, ran.err
    assert "a fault in Trimtab" not in ran.said, ran.said


def one_line(ran: Ran, *words: str) -> None:
    """It failed with one line that holds all these words."""
    lines = ran.err.strip().splitlines()
    assert len(lines) == 1, ran.said
    for word in words:
        assert word in lines[0], lines[0]


def is_live(cli: Cli, place: Place, release: str = "r-001") -> None:
    """Whatever happened, that release is live, and says so."""
    status = cli("status", place, "--json").json
    assert status["live"]["release"] == release


def outcome(ran: Ran, word: str) -> str:
    """The line that tells of an action that ended so."""
    found = [line for line in ran.out.splitlines() if re.match(rf"{word}\s", line)]
    assert len(found) == 1, ran.said
    return found[0]


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    return serving.free_port()
