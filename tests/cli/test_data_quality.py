"""`trimtab data profile`, `report` and `expectations`, as a person uses them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from tests.cli.conftest import Cli, Place


def test_a_profile_before_anything_was_collected(cli: Cli, fresh: Place) -> None:
    ran = cli("data", "profile", fresh, "readings")
    assert ran.code == 0, ran.said
    assert "from its source, not collected yet" in ran.out
    for column in ("reading", "pump", "load", "at"):
        assert column in ran.out


def test_what_is_suggested_can_be_declared(cli: Cli, fresh: Place) -> None:
    ran = cli("data", "profile", fresh, "readings", "--suggest")
    assert ran.code == 0, ran.said
    assert "suggested by" in ran.out
    suggested = tomllib.loads(ran.out)
    assert "data.completeness" in suggested["requirements"]
    told = cli("data", "profile", fresh, "readings", "--suggest", "--json").json
    assert told["suggested"]["requirements"]
    assert {column["name"] for column in told["profile"]["columns"]} >= {"reading", "pump", "load"}
    # The lines that were suggested, in the declaration: it still loads.
    lines = "\n".join(line for line in told["suggested"]["requirements"])
    for line in (fresh.folder / "trimtab.toml").read_text("utf-8").splitlines():
        if any(line.startswith(f'"{metric}"') for metric in told["suggested"]["instead"]):
            fresh.edit("trimtab.toml", f"{line}\n", "")
    fresh.edit("trimtab.toml", "[requirements]\n", f"[requirements]\n{lines}\n")
    ran = cli("check", fresh)
    assert ran.code == 0, ran.said


def test_a_report_is_written(cli: Cli, lived: Place, tmp_path: Path) -> None:
    page = tmp_path / "quality.html"
    ran = cli("data", "report", lived, "readings", "--out", page)
    assert ran.code == 0, ran.said
    text = page.read_text("utf-8")
    assert "<svg" in text
    assert "<script" not in text
    assert "load" in text
    told = cli("data", "report", lived, "readings", "--json").json
    assert Path(told["report"]).stat().st_size == told["bytes"]


def test_suites_go_out_and_come_in(cli: Cli, lived: Place, tmp_path: Path) -> None:
    suite = tmp_path / "suite.json"
    ran = cli("data", "expectations", lived, "export", "readings", suite)
    assert ran.code == 0, ran.said
    written = json.loads(suite.read_text("utf-8"))
    kinds = {one["type"] for one in written["expectations"]}
    assert {"expect_column_values_to_be_between", "expect_column_values_to_be_in_set"} <= kinds
    ran = cli("data", "expectations", lived, "import", "readings", suite)
    assert ran.code == 0, ran.said
    read = tomllib.loads(ran.out)
    assert read["data"]["valid"]["load"] == "0 .. 100"
    assert read["data"]["valid"]["pump"] == ["north", "south", "east"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("profile",), "profile [SYSTEM] NAME"),
        (("profile", "reading"), "did you mean"),
        (("expectations", "out", "readings", "x.json"), "export|import"),
        (("expectations", "import", "readings", "/nowhere/x.json"), "cannot be read"),
    ],
)
def test_what_is_wrong_is_said(cli: Cli, fresh: Place, words: tuple[str, ...], said: str) -> None:
    ran = cli("data", words[0], fresh, *words[1:])
    assert ran.code != 0
    assert said in ran.err
    assert "Traceback" not in ran.said
