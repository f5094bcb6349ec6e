"""Who may ask for what, and how often."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import PermanentError
from trimtab.serving.access.guard import Guard
from trimtab.serving.access.rates import Bucket, Rates
from trimtab.serving.access.scopes import ADMIN, ANY, FEEDBACK, PREDICT
from trimtab.serving.access.tokens import Scope, add_token, digest_of, revoke_token
from trimtab.serving.refusals import RefusalError

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.passed = 1000.0

    def monotonic(self) -> float:
        return self.passed

    def now(self) -> float:
        return NOW.timestamp() + self.passed - 1000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "serve" / "tokens.json"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guard(path: Path, clock: Clock) -> Callable[..., Guard]:
    def one(**standing: bytes) -> Guard:
        rates = Rates(path.with_name("rates"))
        return Guard(path, standing, rates=rates, monotonic=clock.monotonic, now=clock.now)

    return one


def bearer(token: str) -> bytes:
    return b"Bearer " + token.encode()


def status(guard: Guard, authorization: bytes, scope: int = PREDICT, rows: int = 0) -> int:
    try:
        guard.admit(authorization, scope, rows)
    except RefusalError as error:
        return error.status
    return 200


def test_without_tokens_everybody_may(guard):
    open_to_all = guard()
    assert not open_to_all.required
    assert status(open_to_all, b"", ADMIN) == 200
    assert status(open_to_all, b"Bearer whatever", ADMIN) == 200


@pytest.mark.parametrize("scopes", [("predict",), ("feedback",), ("admin",), ("predict", "feedback")])
def test_a_token_may_do_what_its_scopes_say(guard, path, scopes: tuple[Scope, ...]):
    token, made = add_token(path, "one", scopes, NOW)
    assert made.scopes == scopes
    found = {flag: status(guard(), bearer(token), flag) for flag in (PREDICT, FEEDBACK, ADMIN)}
    allowed = {PREDICT: "predict", FEEDBACK: "feedback", ADMIN: "admin"}
    assert found == {flag: 200 if allowed[flag] in scopes else 403 for flag in allowed}
    assert status(guard(), bearer(token), ANY) == 200


def test_a_refusal_says_which_and_why(guard, path):
    token, _ = add_token(path, "one", ("predict",), NOW)
    with pytest.raises(RefusalError, match="token 'one' may not do this: it needs feedback or admin") as caught:
        guard().admit(bearer(token), FEEDBACK | ADMIN)
    assert caught.value.challenge == 'error="insufficient_scope", scope="feedback admin"'
    with pytest.raises(RefusalError, match="not known here") as caught:
        guard().admit(b"Bearer x", PREDICT)
    assert caught.value.challenge == 'error="invalid_token"'
    with pytest.raises(RefusalError, match="a bearer token is required") as caught:
        guard().admit(b"", PREDICT)
    assert caught.value.challenge == ""


@pytest.mark.parametrize(
    "spoilt",
    [
        b"", b"Bearer", b"Bearer ", b"Basic %b", b"%b", b"Bearer %bx", b"Bearer x%b", b"Token %b", b"Bearer %b %b",
        b"Bearer\t%b", b"Bearer \x00%b", b"Bearer \xff%b", b"Bearer %b,", b'Bearer "%b"',
    ],
)  # fmt: skip
def test_what_is_not_quite_a_token_is_none(guard, path, spoilt: bytes):
    token, _ = add_token(path, "one", ("predict",), NOW)
    given_ = spoilt.replace(b"%b", token.encode())
    assert status(guard(), given_) == 401


def test_the_word_bearer_may_be_written_in_any_case_and_blanks_be_around(guard, path):
    token, _ = add_token(path, "one", ("predict",), NOW)
    assert [status(guard(), form + token.encode() + b" ") for form in (b"bearer ", b"BEARER   ")] == [200, 200]


def test_the_environments_token_may_do_everything(guard, path):
    both = guard(environment=digest_of("s3cret"))
    assert both.required
    assert [status(both, b"Bearer s3cret", flag) for flag in (PREDICT, FEEDBACK, ADMIN)] == [200, 200, 200]
    assert both.recognise(b"Bearer s3cret").name == "environment"
    assert status(both, b"Bearer other") == 401


def test_the_owners_token_does_not_make_a_server_ask(path):
    owned = Guard(path, {}, owner=digest_of("mine"))
    assert not owned.required
    add_token(path, "one", ("predict",), NOW)
    owned.refresh()
    assert owned.required
    assert status(owned, b"Bearer mine", ADMIN) == 200
    assert status(owned, b"", ADMIN) == 401


def test_a_token_expires(guard, path, clock):
    token, _ = add_token(path, "brief", ("predict",), NOW, expires=NOW + timedelta(seconds=10))
    held = guard()
    assert status(held, bearer(token)) == 200
    clock.passed += 10
    with pytest.raises(RefusalError, match="token 'brief' has expired") as caught:
        held.admit(bearer(token), PREDICT)
    assert caught.value.status == 401


def test_changes_are_seen_and_nothing_else_is_lost(guard, path, clock):
    held = guard(environment=digest_of("s3cret"))
    first, _ = add_token(path, "first", ("predict",), NOW, requests=1.0)
    assert status(held, bearer(first)) == 401
    held.refresh()
    grant = held.recognise(bearer(first))
    assert status(held, bearer(first)) == 200
    second, _ = add_token(path, "second", ("admin",), NOW)
    held.refresh()
    assert held.recognise(bearer(first)) is grant  # its counts go on
    assert not grant.void
    assert status(held, bearer(first)) == 429
    assert status(held, bearer(second), ADMIN) == 200
    revoke_token(path, "first")
    held.refresh()
    assert grant.void
    assert status(held, bearer(first)) == 401
    assert status(held, b"Bearer s3cret") == 200


def test_taking_the_last_token_away_opens_nothing(guard, path):
    token, _ = add_token(path, "one", ("predict",), NOW)
    held = guard()
    revoke_token(path, "one")
    held.refresh()
    assert held.required
    assert (status(held, bearer(token)), status(held, b"")) == (401, 401)


@pytest.mark.parametrize("spoil", ["gone", "torn", "open"])
def test_a_file_that_is_spoilt_changes_nothing_and_is_told_once(guard, path, caplog, spoil):
    token, _ = add_token(path, "one", ("predict",), NOW)
    held = guard()
    if spoil == "gone":
        path.unlink()
    elif spoil == "torn":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        path.chmod(0o666)
        os.utime(path, ns=(1, 1))
    with caplog.at_level(logging.INFO, "trimtab.serving"):
        for _ in range(3):
            held.refresh()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "tokens stay as they were" in caplog.text
    assert (status(held, bearer(token)), status(held, b"")) == (200, 401)
    if spoil != "gone":
        with pytest.raises(PermanentError, match=str(path)):
            guard()


def test_a_change_is_logged_by_name_and_never_with_the_token(guard, path, caplog):
    held = guard()
    token, _ = add_token(path, "dashboard", ("predict",), NOW)
    held.refresh()
    more, _ = add_token(path, "phone", ("predict",), NOW)
    revoke_token(path, "dashboard")
    with caplog.at_level(logging.INFO, "trimtab.serving"):
        held.refresh()
    assert "tokens: phone new, dashboard gone" in caplog.text
    assert token not in caplog.text
    assert more not in caplog.text


def test_too_many_requests_have_to_wait(guard, path, clock):
    token, _ = add_token(path, "one", ("predict",), NOW, requests=5.0)
    other, _ = add_token(path, "other", ("predict",), NOW, requests=5.0)
    held = guard()
    assert [status(held, bearer(token)) for _ in range(7)] == [200] * 5 + [429] * 2
    assert status(held, bearer(other)) == 200  # its own bucket
    with pytest.raises(RefusalError, match="asks for more requests a second than it may") as caught:
        held.admit(bearer(token), PREDICT)
    assert caught.value.retry_after == pytest.approx(0.2, abs=1e-5)
    clock.passed += 0.2
    assert [status(held, bearer(token)) for _ in range(2)] == [200, 429]
    clock.passed += 3600
    assert [status(held, bearer(token)) for _ in range(6)] == [200] * 5 + [429]
    grant = held.recognise(bearer(token))
    assert (grant.asked, grant.limited) == (11, 5)


def test_a_request_with_more_rows_than_the_rate_is_taken_and_paid_for(guard, path, clock):
    token, _ = add_token(path, "one", ("predict",), NOW, rows=100.0)
    held = guard()
    assert status(held, bearer(token), rows=1000) == 200
    with pytest.raises(RefusalError, match="more rows a second") as caught:
        held.admit(bearer(token), PREDICT, 1)
    assert caught.value.retry_after == pytest.approx(9.01, abs=1e-5)
    clock.passed += 9.0
    assert status(held, bearer(token), rows=1) == 429
    clock.passed += 0.02
    assert status(held, bearer(token), rows=1) == 200


def test_a_slow_rate_lets_one_through_at_a_time(guard, path, clock):
    token, _ = add_token(path, "one", ("predict",), NOW, requests=1 / 60)
    held = guard()
    assert [status(held, bearer(token)) for _ in range(2)] == [200, 429]
    clock.passed += 60.01
    assert [status(held, bearer(token)) for _ in range(2)] == [200, 429]


def test_no_debt_is_too_large_to_count(guard, path, clock):
    token, _ = add_token(path, "one", ("predict",), NOW, rows=1 / 3600)
    held = guard()
    assert [status(held, bearer(token), rows=10_000) for _ in range(2)] == [200, 429]
    clock.passed += 86_000
    assert status(held, bearer(token)) == 429
    clock.passed += 500
    assert status(held, bearer(token)) == 200


def test_processes_share_the_buckets(path, clock):
    token, _ = add_token(path, "one", ("predict",), NOW, requests=10.0)
    several = [
        Guard(path, {}, rates=Rates(path.with_name("rates")), monotonic=clock.monotonic, now=clock.now)
        for _ in range(3)
    ]
    passed = [status(several[number % 3], bearer(token)) for number in range(30)]
    assert passed.count(200) == 10


@pytest.mark.parametrize("seen", ["both at once", "one after the other", "only the second"])
def test_what_a_token_owes_is_not_owed_by_the_next_in_its_slot(guard, path, clock, seen):
    first, made = add_token(path, "first", ("predict",), NOW, rows=1.0)
    asked = guard()
    assert status(asked, bearer(first), rows=100_000) == 200
    assert status(asked, bearer(first)) == 429
    revoke_token(path, "first")
    if seen == "one after the other":
        asked.refresh()
    second, other = add_token(path, "second", ("predict",), NOW, rows=1.0)
    assert other.slot == made.slot
    if seen == "both at once":  # the first was let in once more before the server saw that it is gone
        asked.charge(asked.recognise(bearer(first)), 100_000)
    if seen == "only the second":
        asked = guard()
    asked.refresh()
    assert status(asked, bearer(second)) == 200


def test_what_a_token_owes_outlives_the_server(guard, path):
    token, _ = add_token(path, "one", ("predict",), NOW, rows=1.0)
    assert status(guard(), bearer(token), rows=100_000) == 200
    assert status(guard(), bearer(token)) == 429


def test_what_a_former_boot_left_does_not_lock_anyone_out(tmp_path):
    rates = Rates(tmp_path / "rates")
    bucket = rates.of_requests(0, 2.0)
    bucket.take(9_000_000.0)
    assert bucket.wait(5.0) <= 0
    for spoilt in (float("nan"), float("inf"), -float("inf")):
        rates.numbers[0] = spoilt
        assert bucket.wait(5.0) <= 0
        bucket.take(5.0)
        assert rates.numbers[0] == 5.5


@given(
    rate=st.floats(0.01, 10_000),
    asked=st.lists(st.tuples(st.floats(0, 5), st.integers(1, 50)), min_size=1, max_size=60),
)
def test_no_more_passes_than_the_rate_and_one_burst(rate, asked):
    """In any window: the rate times its length, the burst, and the last one that may go beyond."""
    bucket = Bucket(memoryview(bytearray(8)).cast("d"), 0, rate)
    now, passed = 100.0, []
    for pause, count in asked:
        now += pause
        if bucket.wait(now) <= 0:
            bucket.take(now, count)
            passed.append((now, count))
    for first in range(len(passed)):
        total = 0
        for when, count in passed[first:]:
            allowed = rate * (when - passed[first][0]) + max(1.0, rate)
            assert total <= allowed * (1 + 1e-6) + 1e-6  # without the last one
            total += count


@given(rate=st.floats(0.01, 10_000), spread=st.floats(1.0, 3.0), count=st.integers(1, 200))
def test_who_keeps_to_the_rate_is_never_refused(rate, spread, count):
    bucket = Bucket(memoryview(bytearray(8)).cast("d"), 0, rate)
    for number in range(count):
        now = 100.0 + number * spread * (1 + 1e-9) / rate
        assert bucket.wait(now) <= 1e-6
        bucket.take(now)
