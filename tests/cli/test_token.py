"""`trimtab token`: tokens made, listed and taken away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.cli.conftest import Cli, Place

from trimtab.records.layout import Layout
from trimtab.serving.access.tokens import digest_of, read_tokens


def test_a_token_is_printed_once_and_then_only_described(cli: Cli, fresh: Place) -> None:
    asked = ["token", "add", fresh, "phone", "--scope", "predict", "--scope", "feedback", "--rate", "100/s"]
    ran = cli(*asked, "--rows", "6000 /min", "--expires", "90d")
    assert ran.code == 0, ran.said
    token, told = ran.out.split(maxsplit=1)
    assert token.startswith("trimtab_")
    assert "phone may predict and feedback, 100 requests a second, 100 rows a second, until 20" in told
    (kept,) = read_tokens(Layout(fresh.folder / ".trimtab").tokens)
    assert bytes.fromhex(kept.digest) == digest_of(token)
    assert kept.expires is not None
    assert abs(kept.expires - datetime.now(UTC) - timedelta(days=90)) < timedelta(minutes=1)
    listed = cli("token", "list", fresh)
    assert token not in listed.out
    assert kept.digest not in listed.out
    assert listed.out.splitlines()[-2].split()[:5] == ["phone", "predict,", "feedback", "100/s", "100/s"]
    (told_json,) = cli("token", "list", fresh, "--json").json
    assert told_json["name"] == "phone"
    assert told_json["scopes"] == ["predict", "feedback"]
    assert told_json["requests_per_second"] == 100.0
    assert "digest" not in told_json


def test_a_token_is_taken_away(cli: Cli, fresh: Place) -> None:
    assert "`trimtab token add NAME` makes one" in cli("token", "list", fresh).out
    made = cli("token", "add", fresh, "one", "--json").json
    assert made["scopes"] == ["predict"]
    assert made["token"].startswith("trimtab_")
    assert cli("token", "revoke", fresh, "one").out == "one is no longer taken\n"
    assert "every one was revoked" in cli("token", "list", fresh).out
    assert cli("token", "list", fresh, "--json").json == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["add"], 2, "write `trimtab token add [SYSTEM] NAME`"),
        (["add", "two words"], 1, "no name for a token"),
        (["revoke", "nobody"], 1, "there is no token 'nobody'"),
        (["list", "one"], 2, "write `trimtab token list [SYSTEM]`"),
        (["add", "one", "--scope", "root"], 2, "invalid choice: 'root'"),
        (["add", "one", "--rate", "100"], 2, "has no unit"),
        (["add", "one", "--rate", "0/s"], 2, "a rate lies above 0"),
        (["add", "one", "--expires", "soon"], 2, "is not a time"),
        (["add", "one", "--expires", "-1 d"], 2, "is a negative time"),
        (["give", "one"], 2, "the action comes first"),
    ],
)
def test_a_mistake_is_named(cli: Cli, fresh: Place, words: list[str], code: int, said: str) -> None:
    ran = cli("token", words[0], fresh, *words[1:])
    assert (ran.code, said in ran.err) == (code, True), ran.said
    assert not Layout(fresh.folder / ".trimtab").tokens.exists()
