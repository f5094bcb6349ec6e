"""`trimtab models list`: what is required beside its limit, in any width, and every figure as CSV."""

from __future__ import annotations

import csv
import io

import pytest
from tests.cli.conftest import Cli, Place

MORE = '"quality.roc_auc"     = ">= 0.7"\n"quality.precision" = ">= 0.99"\n"quality.recall" = ">= 0.1"'


def test_required_figures_stand_beside_their_limits(cli: Cli, lived: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    lived.edit("trimtab.toml", '"quality.roc_auc"     = ">= 0.7"', MORE)
    monkeypatch.setenv("COLUMNS", "140")
    heads = cli("models", "list", lived).out.splitlines()[0]
    for head in ("roc_auc >= 0.7", "precision >= 0.99", "recall >= 0.1", "rows", "span", "release"):
        assert head in heads
    monkeypatch.setenv("COLUMNS", "60")
    ran = cli("models", "list", lived)
    table = ran.out.split("\n\n")[0].splitlines()
    assert max(map(len, table)) <= 60
    assert "roc_auc >= 0.7" in table[0]
    assert "release" in table[0]
    assert "span" not in table[0]
    assert "not shown for want of width: quality.precision, quality.recall; --csv" in " ".join(ran.out.split())


def test_csv_has_every_figure(cli: Cli, lived: Place) -> None:
    (told,) = csv.DictReader(io.StringIO(cli("models", "list", lived, "--csv").out))
    (known,) = cli("models", "list", lived, "--json").json
    metrics = known["model"]["metrics"]
    assert len(metrics) > 5
    for name, found in metrics.items():
        assert float(told[name]) == found["figure"]
        assert told[f"{name}.low"] == ("" if found["low"] is None else str(found["low"]))
    assert (told["release"], told["stage"], told["model"]) == ("r-001", "live", known["model"]["identity"]["id"])
    assert list(told)[10] == "quality.roc_auc"  # what is required comes first
