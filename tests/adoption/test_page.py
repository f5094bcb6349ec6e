"""docs/adopt.md: its two files are a system that trains and goes live."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from trimtab.cli.main import main
from trimtab.declaration.load import load

PAGE = (Path(__file__).parents[2] / "docs" / "adopt.md").read_text("utf-8")


def block(kind: str) -> str:
    (found,) = re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


@pytest.mark.timeout(120)
def test_the_two_files_of_the_page_go_live(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "trimtab.toml").write_text(block("toml"), "utf-8")
    (tmp_path / "model.py").write_text(block("python"), "utf-8")
    generator, count = np.random.default_rng(0), 1_500
    calls = generator.integers(0, 9, count)
    day = np.datetime64("2026-01-01T00:00") + np.arange(count) * np.timedelta64(60, "m")
    table = {
        "customer": [f"C{i}" for i in range(count)],
        "signed_up": [str(moment).replace("T", " ") for moment in day],
        "city": generator.choice(["Berlin", "Köln", ""], count),
        "calls": calls,
        "churned": np.where(calls + generator.normal(size=count) > 4, "yes", "no"),
    }
    source = load(tmp_path).labelled.source
    pl.DataFrame(table).write_csv(tmp_path / source)
    assert main(["check", str(tmp_path)]) == 0
    main(["run", str(tmp_path), "--at", "2026-04-01"])
    assert "r-001 is live" in capsys.readouterr().out
