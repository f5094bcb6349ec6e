"""A declaration that is wrong: told in one line with its place, exit code 2, and nothing is begun."""

from __future__ import annotations

import pytest
from tests.cli.conftest import Cli, Place, is_live, one_line

CASES = {
    "malformed": ("[model]", "[model", (":30:", "not valid TOML")),
    "unknown key": ("holdout =", "holdoutt =", (":34:", "unknown key", 'did you mean "holdout"?')),
    "impossible unit": ('"<= 30 d"', '"<= 30 parsec"', (":19:", "data.freshness", "parsec", "ms, s, min, h, d, w")),
    "a unit of another family": ('"<= 30 d"', '"<= 30 MiB"', (":19:", "is a size, where a time is expected")),
    "nothing measures it": ("quality.roc_auc", "quality.roc_acu", (":15:", 'did you mean "quality.roc_auc"?')),
    "nothing to measure it with": (
        'valid = { load = "0 .. 100", pump = ["north", "south", "east"] }',
        "",
        (":18:", "data.validity", "nothing to measure", "declare valid"),
    ),
    "contradiction": ('">= 0.7"', '[">= 0.7", "<= 0.6"]', (":15:", "quality.roc_auc")),
    "a cause that is none": ('"code_changed"', '"code_chnged"', (":39:", 'did you mean "code_changed"?')),
    "a step that is none": ('release = ["live"]', 'release = ["shadw:5", "live"]', (":40:", "shadw")),
    "no such code": ('"model.py"', '"modle.py"', (":31:", "modle.py", 'did you mean "model.py"?')),
    "no such module": ('"readings.csv"', '"python:sources:rows"', (":23:", 'no module "sources"', "sources.py")),
    "a source of no kind": ('"readings.csv"', '"readings.xls"', (":23:", "readings.xls", ".csv")),
    "no label": ('label = "hot"\n', "", ("no dataset has a label",)),
    "an open address": ("port = 8080", 'host = "0.0.0.0"', ("0.0.0.0", "TRIMTAB_TOKEN")),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_told_in_one_line_and_nothing_begins(cli: Cli, fresh: Place, name: str) -> None:
    old, new, words = CASES[name]
    fresh.edit("trimtab.toml", old, new)
    verbs = ("run", "plan") if name == "an open address" else ("check", "run", "plan", "status", "up")
    if name == "no label":
        fresh.edit("trimtab.toml", 'label_delay = "1 h"\n', "")
    for verb in verbs:
        ran = cli(verb, fresh)
        assert ran.code == 2
        one_line(ran, "trimtab.toml" if name != "an open address" else "host", *words)
    left = {path.name for path in (fresh.folder / ".trimtab").glob("*")}
    assert not left & {"data", "blobs", "telemetry", "serve"}


def test_every_problem_has_its_line(cli: Cli, fresh: Place) -> None:
    fresh.edit("trimtab.toml", "holdout =", "holdoutt =")
    fresh.edit("trimtab.toml", '"<= 30 d"', '"<= 30 parsec"')
    fresh.edit("trimtab.toml", "task    =", "tsk     =")
    ran = cli("check", fresh)
    assert ran.code == 2
    lines = ran.err.splitlines()
    assert [line.split(":")[2] for line in lines] == ["6", "19", "34"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('columns = ["pump", "load"]', 'columns = ["pump", "laod"]', (":17:", 'no column "laod"', '"load"?')),
        ('label = "hot"', 'label = "hott"', (":21:", "no column 'hott' (label)", '"hot"?')),
        ('key = "reading"', 'key = "readin"', (":21:", "no column 'readin' (key)", '"reading"?')),
        ('"outside", "age"', '"outsid", "age"', (":30:", "[model] inputs", '"outside"?')),
    ],
    ids=["required", "label", "key", "input"],
)
def test_a_column_that_the_data_do_not_have(cli: Cli, fresh: Place, old: str, new: str, words: tuple[str, ...]) -> None:
    fresh.edit("trimtab.toml", old, new)
    ran = cli("check", fresh)
    assert ran.code == 2
    one_line(ran, *words)
    assert cli("check", fresh, "--no-data").code == 0
    ran = cli("run", fresh)
    assert ran.code == 1
    assert new.split('"')[-2] in ran.said


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("def train(train, valid, params)\n    return 1\n", ("model.py:1", "not valid Python")),
        ("def fit(train, valid, params):\n    return 1\n", ("model.py", "no function train", "write train(")),
    ],
    ids=["syntax", "no train"],
)
def test_code_that_cannot_be_used(cli: Cli, fresh: Place, body: str, words: tuple[str, ...]) -> None:
    fresh.write("model.py", body)
    ran = cli("check", fresh)
    assert ran.code == 2
    one_line(ran, *words)


def test_a_history_that_is_not_declared(cli: Cli, fresh: Place) -> None:
    for verb in ("backtest", "replay"):
        ran = cli(verb, fresh)
        assert ran.code == 2
        one_line(ran, "there is no `[replay]`", "add [replay] with start, end and step")
        assert ran.out == ""


def test_a_policy_that_is_none(cli: Cli, fresh: Place) -> None:
    toml = (fresh.folder / "trimtab.toml").read_text("utf-8")
    fresh.write("trimtab.toml", f"{toml}\n[replay]\nstart = 2026-01-01T00:00:00Z\nend = 2026-01-03T00:00:00Z\n")
    for policy, told in (("nevr", 'did you mean "never"?'), ("every:30 parsec", "parsec")):
        ran = cli("backtest", fresh, "--policy", policy)
        assert ran.code == 2
        one_line(ran, policy.partition(":")[2] or policy, told)


def test_a_wrong_edit_leaves_the_live_model_alone(cli: Cli, lived: Place) -> None:
    lived.edit("trimtab.toml", "holdout =", "holdoutt =")
    assert cli("run", lived).code == 2
    lived.edit("trimtab.toml", "holdoutt =", "holdout =")
    is_live(cli, lived)
