"""Every example of docs/clients.md is run against a real server."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.serving import models
from tests.serving.running import Running

from trimtab.records.server import ServerConfig

PAGE = Path(__file__).parents[3] / "docs" / "clients.md"
BLOCKS = re.findall(r"^```(\w+) ?(\w*)\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
PYTHON = [code for kind, how, code in BLOCKS if kind == "python" and not how]
SHELL = [code for kind, _, code in BLOCKS if kind == "sh"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    made = Running(tmp_path_factory.mktemp("page"), ServerConfig(system=models.SYSTEM, port=0))
    made.start()
    made.route(models.route("r-002", models.bundle(made.blobs, models.sigmoid([0.001, 0.5]))))
    yield made
    made.local.stop()


def run(words: list[str], server: Running, code: str, folder: Path | None = None) -> str:
    code = code.replace("localhost:8080", urlsplit(server.url).netloc)
    done = subprocess.run([*words, code], capture_output=True, text=True, timeout=30, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("code", PYTHON, ids=lambda code: code.strip().splitlines()[-1][:40])
def test_python(server: Running, code: str, tmp_path: Path) -> None:
    assert run([sys.executable, "-W", "error", "-c"], server, code, tmp_path)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("code", SHELL, ids=range(len(SHELL)))
def test_curl(server: Running, code: str) -> None:
    told = run(["sh", "-ec"], server, code.replace("curl ", "curl -sS --fail-with-body "))
    assert '"error":"' not in told.replace('"error":""', "")


def test_the_example_of_a_refusal_shows_what_it_says(server: Running) -> None:
    (code,) = [code for code in PYTHON if "AnswerError" in code]
    told = run([sys.executable, "-c"], server, code)
    assert told.startswith("422 row 0, column 'distance': expected a number")
