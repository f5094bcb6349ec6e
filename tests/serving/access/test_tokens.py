"""The file of tokens: what is kept, what is not, and how it is edited."""

from __future__ import annotations

import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import DeclarationError, PermanentError
from trimtab.records.owner import ensure_owner_token, owner_token
from trimtab.serving.access.rates import SLOTS
from trimtab.serving.access.tokens import (
    add_token,
    digest_of,
    fresh_token,
    read_tokens,
    revoke_token,
    weakness,
)
from trimtab.serving.config import server_config
from trimtab.serving.spec import ServeSpec

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "serve" / "tokens.json"


def test_only_the_digest_is_kept_and_only_the_owner_reads_it(path):
    token, made = add_token(path, "one", ("predict",), NOW, requests=100.0, expires=NOW + timedelta(days=1))
    assert read_tokens(path) == (made,)
    assert token not in path.read_text()
    assert bytes.fromhex(made.digest) == digest_of(token)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token.startswith("trimtab_")
    assert len(token) == len("trimtab_") + 43  # 256 bits


def test_no_two_tokens_are_alike(path):
    made = [add_token(path, f"token-{number}", ("predict",), NOW) for number in range(20)]
    assert len({token for token, _ in made}) == 20
    assert [one.slot for one in read_tokens(path)] == list(range(20))


def test_a_slot_that_came_free_is_used_again(path):
    for number in range(3):
        add_token(path, f"token-{number}", ("predict",), NOW)
    revoke_token(path, "token-1")
    assert add_token(path, "late", ("predict",), NOW)[1].slot == 1


def test_there_is_an_end_to_tokens(path, monkeypatch):
    monkeypatch.setattr("trimtab.serving.access.tokens.SLOTS", 2)
    for number in range(2):
        add_token(path, f"token-{number}", ("predict",), NOW)
    with pytest.raises(PermanentError, match="2 tokens already"):
        add_token(path, "one-more", ("predict",), NOW)
    assert len(read_tokens(path)) == 2
    assert SLOTS >= 1000


@pytest.mark.parametrize("name", ["", " ", "a b", "-x", ".x", "x" * 65, "tökén", "a/b", "a\n", "x\0"])
def test_a_name_must_be_one(path, name):
    with pytest.raises(PermanentError, match="no name for a token"):
        add_token(path, name, ("predict",), NOW)
    assert not path.exists()


def test_names_are_taken_once_and_missed_ones_are_named(path):
    add_token(path, "one", ("predict",), NOW)
    with pytest.raises(PermanentError, match="there is a token 'one' already"):
        add_token(path, "one", ("admin",), NOW)
    with pytest.raises(PermanentError, match="there is no token 'two'") as caught:
        revoke_token(path, "two")
    assert caught.value.hint == "there are one"
    assert len(read_tokens(path)) == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [('"digest": "', '"digest": "zz'), ('"slot": 0', '"slot": -1'), ('"slot": 0', '"slot": 99999')],
)
def test_a_damaged_token_is_named_and_can_be_revoked(path, before, after):
    add_token(path, "one", ("predict",), NOW)
    path.write_text(path.read_text().replace(before, after, 1))
    with pytest.raises(PermanentError, match="token 'one' is damaged"):
        read_tokens(path)
    revoke_token(path, "one")
    assert read_tokens(path) == ()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"tokens": 3}', b'{"tokens": [{}]}', b"\xff\xfe"])
def test_a_file_that_cannot_be_understood_is_not_written_over(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(PermanentError, match=r"tokens\.json cannot be read"):
        read_tokens(path)
    with pytest.raises(PermanentError, match=r"tokens\.json cannot be read"):
        add_token(path, "one", ("predict",), NOW)
    assert path.read_bytes() == content


def test_processes_that_add_at_once_lose_nothing(path):
    program = (
        "import sys; from pathlib import Path; from datetime import UTC, datetime\n"
        "from trimtab.serving.access.tokens import add_token\n"
        "for n in range(15): add_token(Path(sys.argv[1]), f'{sys.argv[2]}-{n}', ('predict',), datetime.now(UTC))\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", program, str(path), name]) for name in "abc"]
    assert [one.wait(30) for one in running] == [0, 0, 0]
    tokens = read_tokens(path)
    assert {one.name for one in tokens} == {f"{name}-{number}" for name in "abc" for number in range(15)}
    assert sorted(one.slot for one in tokens) == list(range(45))


def test_the_owners_token_stays_as_long_as_it_is_private(tmp_path):
    path = tmp_path / "serve" / "owner.token"
    assert owner_token(path) is None
    token = ensure_owner_token(path)
    assert owner_token(path) == ensure_owner_token(path) == token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    assert owner_token(path) is None
    assert ensure_owner_token(path) != token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("x", "has 1 byte, and takes 16"),
        ("correct horse", "has 13 bytes"),
        ("a" * 64, "repeats or counts up"),
        ("abcdefghijklmnopqrstuvwxyz", "repeats or counts up"),
        ("0123456789abcdef", "repeats or counts up"),
        ("xyxyxyxyxyxyxyxyxyxy", "repeats or counts up"),
        ("12345678901234567890", "repeats or counts up"),
    ],
)
def test_a_token_that_can_be_guessed_is_told(token: str, why: str) -> None:
    assert why in weakness(token)


@given(st.integers(0, 2**64))
def test_no_random_token_is_taken_for_one_that_can_be_guessed(seed: int) -> None:
    random = Random(seed)
    assert not weakness(fresh_token())
    for alphabet in ("0123456789abcdef", "0123456789abcdefghijklmnopqrstuvwxyz"):
        assert not weakness("".join(random.choices(alphabet, k=32)))


def test_a_server_refuses_a_token_that_can_be_guessed() -> None:
    """At the loopback too, as a proxy may stand before it; the token itself is told nowhere."""
    with pytest.raises(DeclarationError, match="TRIMTAB_TOKEN has 6 bytes, and takes 16 at least") as caught:
        server_config(ServeSpec(), "flights", {"TRIMTAB_TOKEN": " s3same\n"})
    assert "s3same" not in caught.value.in_one_line()
    assert "trimtab token add" in caught.value.hint
    assert not server_config(ServeSpec(), "flights", {"TRIMTAB_TOKEN": " "}).token_digest, "none is none"
