"""Files and frames of rows through both clients, against a real server and one that breaks off."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.serving import models
from tests.serving.batches import frame, read, scores, written
from tests.serving.client.scripted import Scripted, answer, half, hang_up, in_pieces
from tests.serving.client.test_clients import Waiting, both
from tests.serving.conftest import Make
from tests.serving.running import Running

from trimtab import AnswerError, AsyncClient, Client
from trimtab.errors import PermanentError, TemporaryError
from trimtab.serving.client.wire import Answer

SUFFIXES = {"ndjson": ".jsonl", "parquet": ".parquet"}
SERVER = b'{"name":"trimtab","system":"flights"}'


@both
def test_a_frame_comes_back_as_a_frame(shared: Running, kind: Any) -> None:
    given = frame(3000)
    with kind(shared.url) as client:
        found = client.batch(given, ids="flight", times="at")
    assert found["id"].to_list() == given["flight"].to_list()
    assert found["score"].to_list() == pytest.approx(scores(given), abs=1e-6)
    assert found["release"].unique().to_list() == ["r1"]


@pytest.mark.parametrize(("form", "kind"), [("ndjson", Waiting), ("parquet", Client)])
def test_a_file_comes_back_as_a_file(shared: Running, tmp_path: Path, kind: Any, form: str) -> None:
    given = frame(500)
    source, into = tmp_path / f"rows{SUFFIXES[form]}", tmp_path / "answers.parquet"
    source.write_bytes(written(form, given))
    with kind(shared.url) as client:
        assert client.batch(source, into, ids="flight", times="at") is None
        assert client.batch(str(source), model="r1").height == 500
    found = read("parquet", into.read_bytes())
    assert [one["id"] for one in found] == given["flight"].to_list()
    assert [one["score"] for one in found] == pytest.approx(scores(given), abs=1e-6)
    assert {one.name for one in tmp_path.iterdir()} == {source.name, into.name}
    assert into.stat().st_mode & 0o777 == 0o644


@both
def test_a_large_file_passes_through_piece_by_piece(make: Make, tmp_path: Path, kind: Any) -> None:
    server = make()
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([0.001, 0.5]))))
    given = frame(12_000).with_columns(note=pl.lit("x" * 1000))
    given.write_ndjson(tmp_path / "rows.ndjson")
    assert (tmp_path / "rows.ndjson").stat().st_size > 12 * 2**20  # more than a plain body may have
    with kind(server.url) as client:
        client.batch(tmp_path / "rows.ndjson", tmp_path / "answers.csv", ids="flight")
    found = pl.read_csv(tmp_path / "answers.csv")
    assert found["id"].to_list() == given["flight"].to_list()
    assert found["score"].to_list() == pytest.approx(scores(given), abs=1e-6)


@both
def test_what_cannot_be_is_told(shared: Running, tmp_path: Path, kind: Any) -> None:
    with kind(shared.url) as client:
        for source, words in (
            (tmp_path / "rows.xlsx", "its format is not known by its name"),
            (tmp_path / "none.csv", "cannot be read: No such file"),
        ):
            with pytest.raises(PermanentError, match=words):
                client.batch(source)
        (tmp_path / "rows.csv").write_text("distance\n1\n")
        with pytest.raises(PermanentError, match="cannot be written"):
            client.batch(tmp_path / "rows.csv", tmp_path / "nowhere" / "answers.csv")
        with pytest.raises(AnswerError, match="carrier") as caught:
            client.batch(tmp_path / "rows.csv", tmp_path / "answers.csv")
        assert caught.value.status == 422
    assert {one.name for one in tmp_path.iterdir()} == {"rows.csv"}


def asked_by_thread(url: str, **settings: Any) -> pl.DataFrame:
    with Client(url, "") as client:
        return client.batch(frame(5), **settings)


def asked_by_loop(url: str, **settings: Any) -> pl.DataFrame:
    async def ask() -> pl.DataFrame:
        async with AsyncClient(url, "") as client:
            return await client.batch(frame(5), **settings)

    return asyncio.run(ask())


askers = pytest.mark.parametrize("ask", [asked_by_thread, asked_by_loop])


def answers() -> bytes:
    return written("arrow", pl.DataFrame({"row": [0, 1], "score": [0.5, 0.25]}))


CUT = in_pieces(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")


def cut(sock: Any, request: bytes) -> bool:
    CUT(sock, request)
    return False


@askers
@pytest.mark.parametrize("fault", [hang_up, half, cut])
def test_a_batch_with_ids_is_sent_again_whole(ask: Any, fault: Any) -> None:
    with Scripted(answer(200, SERVER), fault, answer(503, b'{"error":"busy"}'), answer(200, answers())) as server:
        assert ask(server.url, ids="flight")["score"].to_list() == [0.5, 0.25]
    assert server.asked[1] == server.asked[2] == server.asked[3]
    assert b"?id=flight" in server.asked[1]


@askers
@pytest.mark.parametrize("fault", [hang_up, cut])
def test_a_batch_without_ids_is_not(ask: Any, fault: Any) -> None:
    server = Scripted(answer(200, SERVER), fault, answer(200, answers()))
    with server, pytest.raises(TemporaryError, match="the connection was closed") as caught:
        ask(server.url)
    assert "ids=" in caught.value.hint
    assert len(server.asked) == 2


@askers
def test_a_busy_server_is_asked_again_all_the_same(ask: Any) -> None:
    with Scripted(answer(200, SERVER), answer(429, b'{"error":"busy"}'), answer(200, answers())) as server:
        assert ask(server.url).height == 2


@both
def test_a_batch_that_is_refused_while_it_is_sent_is_told_why(make: Make, kind: Any) -> None:
    server = make(max_batch=1_000)
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([0.001, 0.5]))))
    with kind(server.url) as client, pytest.raises(AnswerError, match="larger than") as caught:
        client.batch(frame(50_000))
    assert caught.value.status == 413


def test_what_keeps_the_answer_may_fail() -> None:
    def full(_: bytes) -> None:
        raise PermanentError("the disk is full")

    with pytest.raises(PermanentError, match="the disk is full"):
        Answer(full).feed(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
