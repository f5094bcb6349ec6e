"""Clients in the wrong hands: forked, on another loop, given what is nearly right, pointed at the wrong address."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import time
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from tests.serving import models
from tests.serving.client.test_clients import both
from tests.serving.conftest import Make
from tests.serving.running import Running

from trimtab import AsyncClient, Client, Truth
from trimtab.errors import PermanentError

ROW = {"distance": 1000.0, "carrier": "DL"}


def test_a_forked_process_gets_its_own_answers(shared: Running) -> None:
    """Four processes that share a client share no connection: no answer reaches another than who asked."""
    with Client(shared.url) as client:
        client.predict([ROW])
        children = []
        for child in range(4):
            pid = os.fork()
            if pid == 0:
                wrong = 1
                try:
                    names = [f"fork-{child}-{number}" for number in range(100)]
                    wrong = sum(client.predict([ROW], [name])[0].id != name for name in names)
                finally:
                    os._exit(bool(wrong))
            children.append(pid)
        assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 4
        assert client.predict([ROW], ["parent"])[0].id == "parent"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_asynchronous_client_goes_over_to_the_next_loop(shared: Running) -> None:
    client = AsyncClient(shared.url, connections=1)

    async def many(name: str) -> list[str]:
        found = await asyncio.gather(*(client.predict([ROW], [f"{name}-{number}"]) for number in range(5)))
        return [one.id for (one,) in found]

    began = time.monotonic()
    for name in ("first", "second"):
        assert asyncio.run(many(name)) == [f"{name}-{number}" for number in range(5)]
    asyncio.run(client.close())
    gc.collect()  # the sockets that the first loop left warn of themselves here
    assert time.monotonic() - began < 5


def test_an_asynchronous_client_is_not_shared_by_loops_that_live(shared: Running) -> None:
    client = AsyncClient(shared.url)
    with asyncio.Runner() as one, asyncio.Runner() as other:
        one.run(client.predict([ROW]))
        with pytest.raises(PermanentError, match="belongs to another event loop") as error:
            other.run(client.predict([ROW]))
        assert error.value.hint == "make one AsyncClient for each loop"
        one.run(client.close())


@both
@pytest.mark.parametrize("wrap", [pd.DataFrame, pl.LazyFrame, pa.Table.from_pylist, iter], ids=str)
def test_tables_of_any_library_are_rows(shared: Running, kind: Any, wrap: Any) -> None:
    rows = [ROW, {"distance": 215.0, "carrier": None}]
    with kind(shared.url) as client:
        assert [one.score for one in client.predict(wrap(rows))] == [one.score for one in client.predict(rows)]


@both
def test_an_index_is_no_column_and_nan_is_not_known(shared: Running, kind: Any) -> None:
    frame = pd.DataFrame([ROW, {"distance": np.nan, "carrier": "DL"}, ROW]).iloc[[2, 1]]
    with kind(shared.url) as client:
        wanted = client.predict([ROW, {"distance": None, "carrier": "DL"}])
        assert [one.score for one in client.predict(frame)] == [one.score for one in wanted]
        assert client.batch(frame).get_column("score").to_list() == pytest.approx([one.score for one in wanted])


@both
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROW, "expected a list of rows, got one mapping"),
        (None, "expected a list of mappings by column, or a table, got NoneType"),
        (7, "expected a list of mappings by column, or a table, got int"),
        (np.array([["a", "b"]]), "the matrix of encoded rows holds what is no number"),
    ],
)
def test_what_are_no_rows_is_said(shared: Running, kind: Any, rows: Any, message: str) -> None:
    with kind(shared.url) as client, pytest.raises(PermanentError, match=message):
        client.predict(rows)


@both
def test_truths_are_told_one_or_many(shared: Running, kind: Any) -> None:
    with kind(shared.url) as client:
        client.predict([ROW], ["told-alone"])
        assert client.feedback(Truth("told-alone", "late")) == []
        with pytest.raises(PermanentError, match=r"items\[1\]: expected a Truth, got \('b', 'late'\)"):
            client.feedback([Truth("a", "late"), ("b", "late")])


@both
@pytest.mark.parametrize("most", [10_000, 7])
def test_truths_are_told_in_as_many_requests_as_it_takes(make: Make, kind: Any, most: int) -> None:
    """What a server takes in one request is its own affair: nobody counts the truths of a day beforehand."""
    server = make(max_rows=most)
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([0.001, 0.5]))))
    names = [f"day-{number}" for number in range(12_000 if most > 7 else 100)]
    with kind(server.url) as client:
        client.predict([ROW], [names[3]])
        assert client.feedback([Truth(name, "late") for name in names]) == names[:3] + names[4:]
        with pytest.raises(PermanentError, match="none of the classes"):
            client.feedback([Truth(name, "never") for name in names])


@both
def test_a_server_without_tls_is_told_from_one_that_is_down(shared: Running, kind: Any) -> None:
    began = time.monotonic()
    with kind(shared.url.replace("http:", "https:")) as client:
        with pytest.raises(PermanentError, match="does not speak TLS") as error:
            client.predict([ROW])
        assert error.value.hint == f"ask {shared.url}"
    assert time.monotonic() - began < 5


def test_no_connection_is_left_behind_by_a_fork(shared: Running) -> None:
    """A child that asks ends its copy of what the parent had kept; the parent's goes on."""
    with Client(shared.url) as client:
        client.predict([ROW])
        (kept,) = client._idle
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                client.predict([ROW])
                os.write(writing, b"closed" if kept.fileno() == -1 else b"open")
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        assert os.read(reading, 10) == b"closed"
        os.close(reading)
        os.close(writing)
        assert kept.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        assert client.predict([ROW], ["still"])[0].id == "still"
