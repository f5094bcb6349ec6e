"""A PyTorch module goes all the way: trained by the loop, killed, resumed, released, served and reproduced."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.adapters.conftest import absent

from trimtab.errors import TrimtabError
from trimtab.serving.client.sync import Client
from trimtab.wiring.serving import free_port

pytestmark = pytest.mark.component
HERE = Path(__file__).parent
HOME = HERE.parents[2] / "build" / "components" / "torch"
EPOCHS = 12


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Our own interpreter and packages, and PyTorch before them."""
    found = sorted(HOME.glob("lib/python*/site-packages/torch"))
    if not found:
        absent("PyTorch", "tools/component torch")
    return os.environ | {"PYTHONPATH": str(found[0].parent), "TRIMTAB_TRACEBACK": ""}


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """Real rows (breast cancer), an hour apart up to three hours ago, and the module that learns them."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    folder = tmp_path / "system"
    folder.mkdir()
    newest = datetime.now(UTC) - timedelta(hours=3)
    with (folder / "cells.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["cell", "at", *(f"f{i}" for i in range(6)), "benign"])
        for number, (row, label) in enumerate(zip(data.data, data.target, strict=True)):
            at = newest - timedelta(hours=len(data.data) - number)
            cells = ["" if number % 50 == i else value for i, value in enumerate(row[:6])]
            writer.writerow([f"c{number}", f"{at:%Y-%m-%dT%H:%M:%SZ}", *cells, label])
    for name in ("model.py", "trimtab.toml"):
        (folder / name).write_text((HERE / "system" / name).read_text("utf-8"), "utf-8")
    toml = folder / "trimtab.toml"
    toml.write_text(toml.read_text("utf-8").replace("FOLDER", str(tmp_path)).replace("8080", str(free_port())), "utf-8")
    return folder


def trimtab(environment: dict[str, str], *words: object) -> str:
    """What a verb printed."""
    told = [sys.executable, "-m", "trimtab.cli.main", *map(str, words)]
    ran = subprocess.run(told, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def epochs(system: Path) -> list[str]:
    """A word for each epoch that was really computed: `first`, or `again` for the second fit."""
    tally = system.parent / "tally"  # a file beside model.py that it names would be part of its code
    return tally.read_text("utf-8").split() if tally.exists() else []


@contextmanager
def serving(environment: dict[str, str], system: Path) -> Iterator[Client]:
    """`trimtab serve`, and somebody who asks it."""
    port = re.search(r"^port = (\d+)", (system / "trimtab.toml").read_text("utf-8"), re.MULTILINE)
    assert port
    words = [sys.executable, "-m", "trimtab.cli.main", "serve", str(system)]
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with Client(f"http://127.0.0.1:{port[1]}", timeout=60) as client:
            until = time.monotonic() + 60
            while not ready(client):
                assert process.poll() is None
                assert time.monotonic() < until, "the server does not answer"
                time.sleep(0.1)
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def ready(client: Client) -> bool:
    """Whether it answers."""
    try:
        client.status()
    except TrimtabError:
        return False
    return True


def own_answers(environment: dict[str, str], system: Path, rows: list[dict[str, Any]]) -> list[float]:
    """What the module itself says of rows: PyTorch alone, with the weights that model.py left when it had fitted."""
    told = [sys.executable, str(HERE / "own.py"), str(system)]
    ran = subprocess.run(
        told, env=environment, input=json.dumps(rows), capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    answers: list[float] = json.loads(ran.stdout.splitlines()[-1])
    return answers


@pytest.mark.timeout(600)
def test_killed_resumed_released_served_and_reproduced(environment: dict[str, str], system: Path) -> None:
    words = [sys.executable, "-m", "trimtab.cli.main", "run", str(system)]
    killed = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        while len(epochs(system)) < 6:
            assert killed.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < until, "no epochs"
            time.sleep(0.02)
        workers = psutil.Process(killed.pid).children(recursive=True)
    finally:
        killed.kill()
        killed.wait()
    psutil.wait_procs(workers, timeout=20)
    before = epochs(system)
    work = system / ".trimtab" / "work"
    assert list(work.glob("checkpoints/*/*.pt")), "nothing was kept of the killed training"

    trimtab(environment, "run", system)
    after = epochs(system)[len(before) :]
    assert EPOCHS <= before.count("first") + after.count("first") <= EPOCHS + 2, (before, after)
    assert 0 < after.count("again") <= EPOCHS
    assert not work.exists() or not list(work.iterdir()), "a checkpoint is left of a model that is kept"

    (model,) = json.loads(trimtab(environment, "models", "list", system, "--json"))
    logged = json.loads(trimtab(environment, "models", "metrics", system, "r-001", "--metric", "loss", "--json"))
    first, again = (curve["steps"] for curve in logged["curves"])
    assert first == list(range(1, EPOCHS + 1)), "epochs before the kill are missing"
    assert again == list(range(1, len(again) + 1))
    told = trimtab(environment, "models", "reproduce", system, model["model"]["identity"]["id"])
    assert "identical" in told, told

    with (system / "cells.csv").open() as file:
        cells = list(csv.DictReader(file))[:60]
    rows = [{f"f{i}": float(row[f"f{i}"]) if row[f"f{i}"] else None for i in range(6)} for row in cells]
    with serving(environment, system) as client:
        answers = client.predict(rows)
        explained = client.predict(rows[:2], explain=True)
    scores = [answer.score for answer in answers]
    assert max(scores) - min(scores) > 0.5, "the model tells nothing apart"
    assert scores == pytest.approx(own_answers(environment, system, rows), abs=1e-4)
    assert explained[0].explanation is not None
