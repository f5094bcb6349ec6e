"""Batches for the tests: rows written in every format, sent, and their answers read."""

from __future__ import annotations

import csv
import http.client
import io
import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import polars as pl
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from tests.serving.running import Running

from trimtab.serving.batch.formats import CONTENT_TYPES

BATCH = "/v2/models/flights/batch"
CARRIERS = ["AA", "DL", "UA", "ZZ", None]
FORMATS = sorted(CONTENT_TYPES)
MOMENT = datetime(2013, 3, 1, 12, tzinfo=UTC)


def frame(rows: int) -> pl.DataFrame:
    numbers = [None if n % 7 == 3 else (n - rows / 2) * 3.25 for n in range(rows)]
    return pl.DataFrame(
        {
            "note": [f"n{n}" for n in range(rows)],
            "carrier": pl.Series([CARRIERS[n % 5] for n in range(rows)], dtype=pl.String),
            "distance": pl.Series(numbers, dtype=pl.Float64),
            "flight": [f"flight-{n}" for n in range(rows)],
            "at": [MOMENT + timedelta(minutes=n) for n in range(rows)],
        }
    )


def scores(given: pl.DataFrame) -> list[float]:
    codes = {"AA": 0.0, "DL": 1.0, "UA": 2.0}
    return [
        1 / (1 + math.exp(-(0.001 * (distance or 0.0) + 0.5 * codes.get(carrier, -1.0))))
        for distance, carrier in given.select("distance", "carrier").iter_rows()
    ]


def written(form: str, given: pl.DataFrame) -> bytes:
    if form == "ndjson":
        return given.write_ndjson().encode() if "at" not in given.columns else b"".join(_lines(given))
    if form == "csv":
        return given.write_csv(datetime_format="%Y-%m-%dT%H:%M:%S%:z").encode()
    out = io.BytesIO()
    if form == "parquet":
        given.write_parquet(out, row_group_size=300)
    else:
        table = given.to_arrow()
        with pa.ipc.new_stream(out, table.schema) as stream:
            stream.write_table(table, max_chunksize=300)
    return out.getvalue()


def _lines(given: pl.DataFrame) -> Iterator[bytes]:
    for row in given.iter_rows(named=True):
        yield json.dumps(row, default=lambda moment: moment.isoformat()).encode() + b"\n"


def read(form: str, data: bytes) -> list[dict[str, Any]]:
    if form == "ndjson":
        return [json.loads(line) for line in data.splitlines()]
    if form == "csv":
        rows = [{k: v or None for k, v in row.items()} for row in csv.DictReader(io.StringIO(data.decode()))]
        return [{**row, "row": int(row["row"] or 0), "score": row["score"] and float(row["score"])} for row in rows]
    if form == "parquet":
        return list(pq.read_table(io.BytesIO(data)).to_pylist())
    return list(pa.ipc.open_stream(data).read_all().to_pylist())


def ask(
    server: Running, form: str, body: Any, wanted: str = "", query: str = "", path: str = BATCH
) -> tuple[int, bytes, str]:
    headers = {"content-type": CONTENT_TYPES.get(form, form)}  # type: ignore[call-overload]
    if wanted:
        headers["accept"] = CONTENT_TYPES.get(wanted, wanted)  # type: ignore[call-overload]
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    try:
        connection.request("POST", path + query, body, headers)
        response = connection.getresponse()
        return response.status, response.read(), response.headers["content-type"]
    finally:
        connection.close()


def refused(server: Running, form: str, body: Any, query: str = "") -> tuple[int, dict[str, Any]]:
    status, data, _ = ask(server, form, body, query=query)
    return status, json.loads(data)


def readers(server: Running) -> list[psutil.Process]:
    assert server.local.pid is not None
    return [one for one in psutil.Process(server.local.pid).children() if _reads(one)]


def _reads(process: psutil.Process) -> bool:
    try:
        return process.status() != "zombie" and "trimtab.serving.batch" in process.cmdline()
    except psutil.NoSuchProcess:  # it has ended since it was listed
        return False
