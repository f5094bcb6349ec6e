"""Every example of docs/telemetry.md is run: the commands on a system that has answered, the programs on its files."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from tests.cli.conftest import Cli, Place
from tests.serving.telemetry.written import Written

PAGE = (Path(__file__).parents[2] / "docs" / "telemetry.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
PROGRAMS = [block for kind, block in BLOCKS if kind == "python"]


@pytest.fixture
def answered(lived: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    written = Written(lived.folder / ".trimtab" / "telemetry")
    at = datetime.now(UTC) - timedelta(days=2)
    written.answer(["ID", "other"], at)
    written.tell({"ID": 1.0}, at + timedelta(hours=1))
    written.tell({"ID": 0.0, "ID early": 1.0}, at + timedelta(hours=2), orphans=["ID early"])
    written.fail(at)
    written.close()
    lived.edit("trimtab.toml", "port = 8080", 'port = 8080\ntelemetry_keep = "180 d"')
    monkeypatch.chdir(lived.folder)
    return lived


def test_the_commands_do_what_they_say(cli: Cli, answered: Place) -> None:
    verbs = []
    for line in COMMANDS:
        program, *words = shlex.split(line, comments=True)
        assert program == "trimtab"
        ran = cli(*words)
        assert ran.code == 0, ran.said
        assert ran.out
        verbs.append(words[1])
    assert set(verbs) == {"list", "show", "export", "verify", "compact", "prune"}
    assert pl.read_parquet("answers.parquet")["label"].to_list() == [0.0, None]


def test_the_programs_read_the_files(cli: Cli, answered: Place, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli("telemetry", "compact").code == 0
    assert len(PROGRAMS) == 2
    for program in PROGRAMS:
        exec(compile(program, "docs/telemetry.md", "exec"), {})
    told = capfd.readouterr().out
    assert "input_carrier" in told
    assert told.splitlines()[-1] == "2"


def test_every_column_is_told(cli: Cli, answered: Place) -> None:
    assert cli("telemetry", "compact").code == 0
    for path in Path(".trimtab/telemetry").glob("2*/*.arrow"):
        for name in pl.read_ipc_schema(path):
            assert f"`{'input_NAME' if name.startswith('input_') else name}`" in PAGE, (path.name, name)
