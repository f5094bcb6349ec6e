"""What the command line says before it does anything: help, wrong words, and the exit code 2."""

from __future__ import annotations

import pytest
from tests.cli.conftest import Cli, Place, one_line, real

from trimtab.cli.main import VERBS, parser


def test_without_words_it_shows_its_help_as_an_error(cli: Cli) -> None:
    ran = cli()
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == cli("--help").out


def test_help_names_every_verb_in_lines_that_fit(cli: Cli) -> None:
    ran = cli("--help")
    assert ran.code == 0
    assert [verb for verb in VERBS if f"  {verb} " not in ran.out] == []
    assert max(map(len, ran.out.splitlines())) <= 80


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_json(cli: Cli, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert "--json" in parser(verb).format_help()
    assert max(map(len, parser(verb).format_help().splitlines())) <= 80
    monkeypatch.delenv("COLUMNS")
    ran = cli(verb, "--help")
    assert ran.code == 0
    assert ran.out.startswith(f"usage: trimtab {verb}")


def test_version(cli: Cli) -> None:
    assert cli("--version").out.startswith("trimtab ")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("stauts",), "no verb `stauts`; did you mean `status`?"),
        (("rn",), "did you mean `run`?"),
        (("xyzzy",), "no verb `xyzzy`"),
        (("--json", "status"), "the verb comes first"),
        (("promote",), "say which release to promote"),
        (("log", ".", "--kind", "relese_moved"), 'did you mean "release_moved"?'),
    ],
)
def test_wrong_words_are_told_in_a_line(
    cli: Cli, lived: Place, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(lived.folder)
    ran = cli(*words)
    assert ran.code == 2
    one_line(ran, told)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("run", "--at", "2013-13-01"), "'2013-13-01' is not a moment"),
        (("run", "--at", "2013-06-01T00:00"), "has no time zone"),
        (("run", "--every", "0"), "not a number of seconds above zero"),
        (("up", "--every", "soon"), "'soon' is not a number of seconds above zero, nor a time such as 5min"),
        (("run", "--every", "-5s"), "expected one argument"),
        (("run", "--once", "--watch"), "not allowed with"),
        (("run", "--onc"), "unrecognized arguments: --onc"),
        (("log", "-n", "-3"), "'-3' is not a whole number"),
        (("data", "lst"), "the action comes first, as in `trimtab data list`: one of list, collect"),
        (("up", "--port", "9000"), "the address is declared: port and host of [serve]"),
        (("backtest", "--until", "never"), "'never' is not a moment"),
    ],
)
def test_wrong_options_are_told_with_the_usage(cli: Cli, words: tuple[str, ...], told: str) -> None:
    ran = cli(*words)
    assert ran.code == 2
    assert told in ran.err
    assert ran.err.startswith(f"usage: trimtab {words[0]}")


@pytest.mark.parametrize(
    "verb", sorted(VERBS.keys() - {"data", "experiment", "forget", "labels", "models", "promote", "telemetry", "token"})
)
def test_a_system_that_is_not_there(cli: Cli, verb: str) -> None:
    ran = cli(verb, "/nowhere/system")
    assert ran.code == 2
    one_line(ran, "/nowhere/system", "there is no such declaration", "that holds a trimtab.toml")


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("log",),
        ("report",),
        ("rollback",),
        ("train",),
        ("data", "list"),
        ("models", "list"),
        ("telemetry", "list"),
        ("promote", "r-001"),
    ],
)
def test_before_the_first_run_verbs_say_what_to_run(
    cli: Cli, fresh: Place, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(fresh.folder)
    ran = cli(*words)
    assert ran.code == 1
    one_line(ran, "no ledger at", "run `trimtab run` first")
    assert not (fresh.folder / ".trimtab").exists()


def test_a_reader_that_goes_away_is_no_error(lived: Place) -> None:
    """`trimtab log | head -1` and the like."""
    import subprocess
    import sys

    writer = subprocess.Popen(
        [sys.executable, "-m", "trimtab.cli.main", "log", str(lived), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert writer.stdout is not None
    assert writer.stderr is not None
    writer.stdout.close()
    assert (writer.stderr.read(), writer.wait()) == (b"", 0)
    writer.stderr.close()


def test_a_process_returns_the_exit_code() -> None:
    assert real("stauts").code == 2
