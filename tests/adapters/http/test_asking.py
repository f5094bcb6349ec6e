"""What a server may do wrong, and what a caller must not do: each fault is borne or named, and no secret is told."""

from __future__ import annotations

import itertools
import logging
import socket
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.adapters.http.server import World, bomb, drips, half, half_unsaid, hangs, serving, status
from tests.adapters.http.test_pages import as_json
from tests.serving.access.certificates import Authority

from trimtab.adapters.http.asking import linked, retry_after, shown, with_parameters
from trimtab.adapters.http.data import HttpPages
from trimtab.data.port import DataError
from trimtab.data.sources.patience import Waiting
from trimtab.data.spec import DatasetSpec
from trimtab.errors import TemporaryError, TrimtabError
from trimtab.testing.sources import END, trips

TOKEN, KEY = "t0p-s3cr3t-t0k3n", "k3y-0f-th3-sh0p"
SECRET = {"token_env": "A_TOKEN", "parameters_env": {"api_key": "A_KEY"}}
CURSOR = {"items": "data.items", "pages": "cursor", "next": "meta.next", "parameter": "after"}


class Asked:
    """A source before a server of 100 rows, under a clock of its own that only moves when someone sleeps."""

    def __init__(self, address: str, world: World) -> None:
        self.address, self.world, self.slept = address, world, list[float]()

    def source(self, path: str = "/cursor", **options: Any) -> HttpPages:
        declared = {**(CURSOR if path == "/cursor" else {}), "tries": 4, **options}
        spec = DatasetSpec(name="trips", source=self.address + path, key=("id",), time="at", options=declared)
        waiting = Waiting(sleep=self.slept.append, draw=lambda: 1.0)
        return HttpPages(spec, environment={"A_TOKEN": TOKEN, "A_KEY": KEY}, waiting=waiting)

    def error(self, *faults: Any, path: str = "/cursor", **options: Any) -> TrimtabError:
        self.world.faults = itertools.cycle(faults)
        with pytest.raises(TrimtabError) as caught:
            self.source(path, **options).fetch(None, END)
        return caught.value


@pytest.fixture
def asked() -> Iterator[Asked]:
    world = World(rows=as_json(trips(0, 100)))
    with serving(world) as address:
        yield Asked(address, world)


@pytest.mark.parametrize(
    "fault",
    [status(500), status(503), status(429), status(408), half, half_unsaid],
    ids=["500", "503", "429", "408", "half", "half-unsaid"],
)
def test_what_passes_is_borne(asked: Asked, fault: Any) -> None:
    """Each page fails twice before it comes."""
    asked.world.faults = itertools.cycle([fault, fault, None])
    assert asked.source().fetch(None, END).height == 100
    assert asked.slept == [0.5, 1.0] * 2


def test_what_does_not_pass_is_named_with_what_was_borne(asked: Asked) -> None:
    error = asked.error(status(503))
    assert isinstance(error, TemporaryError)
    assert error.message == (
        f"dataset 'trips': {asked.address}/cursor answered 503 Service Unavailable (4 tries, 4 s of pauses)"
    )


def test_a_server_says_how_long_to_wait(asked: Asked) -> None:
    asked.world.faults = iter([status(429, ("Retry-After", "7")), status(503, ("Retry-After", "2"))])
    assert asked.source().fetch(None, END).height == 100
    assert asked.slept == [7.0, 2.0]


def test_one_that_says_to_come_back_tomorrow_is_not_waited_for(asked: Asked) -> None:
    error = asked.error(status(429, ("Retry-After", "86400")))
    assert isinstance(error, TemporaryError)
    assert error.delay == 86400
    assert asked.slept == []


def test_one_that_hangs_is_given_up_in_time(asked: Asked) -> None:
    began = time.monotonic()
    error = asked.error(hangs(1.0), timeout=0.2, tries=2)
    assert "did not answer within 0.2 s" in error.message
    assert time.monotonic() - began < 5


def test_one_that_drips_is_given_up_in_time(asked: Asked) -> None:
    began = time.monotonic()
    error = asked.error(drips(100, 0.05), timeout=0.3, tries=1)
    assert isinstance(error, TemporaryError)
    assert time.monotonic() - began < 4


def test_nobody_there(asked: Asked) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        asked.address = f"http://127.0.0.1:{free.getsockname()[1]}"
        error = asked.error(None)
    assert isinstance(error, TemporaryError)
    assert "cannot be reached" in error.message


def test_a_bomb_is_not_unpacked(asked: Asked) -> None:
    error = asked.error(bomb, largest=2**20)
    assert isinstance(error, DataError)
    assert "more than 1 MiB, unpacked" in error.message


@pytest.mark.parametrize(("code", "hint"), [(401, "A_TOKEN, A_KEY"), (403, "A_TOKEN, A_KEY"), (404, ""), (400, "")])
def test_what_trying_again_does_not_mend_is_asked_once(asked: Asked, code: int, hint: str) -> None:
    error = asked.error(status(code, body=f"no {TOKEN} {KEY}".encode()), **SECRET)
    assert isinstance(error, DataError)
    assert f"answered {code}" in error.message
    assert hint in error.hint
    assert len(asked.world.asked) == 1
    assert TOKEN not in str(error)
    assert KEY not in str(error)


def test_secrets_are_sent_and_never_told(asked: Asked, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in a cursor nor in any error or log."""
    caplog.set_level(logging.DEBUG)
    pages = list(asked.source(**SECRET).pages("", None, END))
    assert pages
    for _, query, headers in asked.world.asked:
        assert headers["Authorization"] == f"Bearer {TOKEN}"
        assert query["api_key"] == KEY
    told = [page.cursor for page in pages]
    for fault in (status(500), status(404), half, hangs(0.5), status(302, ("Location", "http://127.0.0.1:1/x"))):
        error = asked.error(fault, timeout=0.2, tries=2, **SECRET)
        told += ["".join(traceback.format_exception(error)), str(error), repr(error)]
    asked.world.faults = iter(())
    linked_pages = [page.cursor for page in asked.source("/link", **SECRET, pages="link").pages("", None, END)]
    assert any("/link?start=60" in cursor for cursor in linked_pages)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("trimtab")]
    told += [*linked_pages, *ours]
    assert not any(secret in text for secret in (TOKEN, KEY) for text in told)


def test_a_secret_that_is_not_there_is_named(asked: Asked) -> None:
    error = asked.error(None, token_env="ANOTHER")
    assert error.message == "dataset 'trips': the environment variable ANOTHER, which holds a secret, is not set"
    assert asked.world.asked == []


def test_a_redirect_within_the_host_is_followed(asked: Asked) -> None:
    asked.world.faults = iter([status(302, ("Location", "/cursor")), status(307, ("Location", "cursor"))])
    assert asked.source(**SECRET).fetch(None, END).height > 0
    assert [path for path, _, _ in asked.world.asked][:3] == ["/cursor"] * 3


def test_no_other_host_is_asked(asked: Asked) -> None:
    """Whether by a redirect or by a link: it would be given the token."""
    other = World(rows=as_json(trips(0, 5)))
    with serving(other) as elsewhere:
        error = asked.error(status(302, ("Location", f"{elsewhere}/cursor?x=1")), **SECRET)
        assert "lies elsewhere than the declared" in error.message

        def link(handler: Any) -> bool:
            handler.give({"data": {"items": []}, "next": f"{elsewhere}/cursor"})
            return True

        error = asked.error(link, path="/whole", items="data.items", pages="link", next="next", **SECRET)
        assert "lies elsewhere than the declared" in error.message
    assert other.asked == []


def test_endless_redirects_end(asked: Asked) -> None:
    assert "redirects more than 5 times" in asked.error(status(302, ("Location", "/cursor"))).message


def test_a_declared_rate_is_kept(asked: Asked) -> None:
    assert asked.source("/offset", items="", pages="none").fetch  # the plain one does not wait
    asked.source("/offset", items="rows", pages="offset", rate=0.5).fetch(None, END)
    assert len(asked.slept) == 2  # three questions: two pages and the empty one behind them
    assert all(1.9 < pause <= 4 for pause in asked.slept)


def test_only_a_certificate_of_a_known_authority_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, files = Authority(tmp_path), (tmp_path / "server.pem", tmp_path / "server.key")
    authority.issue(*files)
    world = World(rows=as_json(trips(0, 100)))
    with serving(world, files) as address:
        asked = Asked(address, world)
        error = asked.error(None, **SECRET)
        assert isinstance(error, DataError)
        assert "its certificate or its encryption cannot be trusted" in error.message
        assert world.asked == []
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
        asked.world.faults = iter(())
        assert asked.source(**SECRET).fetch(None, END).height == 100


@given(st.integers(0, 10**6))
def test_a_pause_is_asked_for_in_seconds_or_as_a_date(seconds: int) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert retry_after(str(seconds), now) == seconds
    date = (now + timedelta(seconds=seconds)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert retry_after(date, now) == seconds


@given(st.text())
def test_any_text_may_come_in_a_header(text: str) -> None:
    assert retry_after(text, datetime(2026, 1, 1, tzinfo=UTC)) >= 0
    assert isinstance(linked(text), str)


@pytest.mark.parametrize(
    ("header", "address"),
    [
        ('<https://a/x?page=2>; rel="next"', "https://a/x?page=2"),
        ('</1>; rel="prev", </3>; title="a, b"; rel=next', "/3"),
        ('</1>; rel="last next"', "/1"),
        ('</1>; rel="prev"', ""),
        ("", ""),
        ("<", ""),
    ],
)
def test_the_next_page_in_a_link_header(header: str, address: str) -> None:
    assert linked(header) == address


def test_addresses_are_told_without_what_may_be_secret() -> None:
    assert shown("https://user:pass@a:8/x?key=secret#y") == "https://a:8/x"
    assert with_parameters("http://a/x?a=1&b=&c=ü", {"b": "2 3"}) == "http://a/x?a=1&c=%C3%BC&b=2+3"
