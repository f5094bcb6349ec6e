"""Every example of docs/serving.md is run against a real server, and every address it lists is there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.serving import models
from tests.serving.running import Running

from trimtab.records.server import ServerConfig

PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*) ?(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
SHELL = [(code, how) for kind, how, code in BLOCKS if kind == "sh"]
SHOWN = {kind: code for kind, _, code in BLOCKS if kind in ("json", "")}
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    made = Running(tmp_path_factory.mktemp("page"), ServerConfig(system=models.SYSTEM, port=0))
    made.start()
    made.route(models.route("r-002", models.bundle(made.blobs, models.sigmoid([0.001, 0.5]))))
    yield made
    made.local.stop()


def run(server: Running, code: str, folder: Path) -> str:
    code = code.replace("localhost:8080", urlsplit(server.url).netloc).replace("curl ", "curl -sS ")
    done = subprocess.run(["sh", "-ec", code], capture_output=True, text=True, timeout=30, check=True, cwd=folder)
    return done.stdout


@pytest.mark.parametrize(("code", "how"), SHELL, ids=range(len(SHELL)))
def test_the_examples_answer_as_they_say(server: Running, tmp_path: Path, code: str, how: str) -> None:
    told = run(server, code, tmp_path)
    if how == "refused":
        assert json.loads(told) == json.loads(SHOWN["json"])
    elif "batch" in code:
        assert told == SHOWN[""]
    elif "answer.bin" in code:
        assert b'"binary_data_size":4' in (tmp_path / "answer.bin").read_bytes()
    else:
        assert "error" not in json.loads(told)


def test_every_address_that_is_listed_is_there(server: Running) -> None:
    table = PAGE.partition("## Addresses")[2].partition("\n\n`/v2")[0]
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    listed = {(cell.strip("` ").split(" ")[0], path) for cell in cells for path in re.findall(r"(/[\w/.]*)", cell)}
    assert len(listed) > 12
    paths = server.ask("GET", "/openapi.json")[1]["paths"]
    for method, path in listed:
        whole = path if path in paths else f"/v2/models/flights{path}"
        assert method.lower() in paths[whole], (method, path)
