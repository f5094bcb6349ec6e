"""What a server was asked, answered and told, as rows: the shared suite, late truth, and a real server's own."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from tests.serving import models
from tests.serving.running import Running
from tests.serving.telemetry.written import Written

from trimtab.data.spec import DatasetSpec
from trimtab.data.store.versions import DatasetStore
from trimtab.errors import DeclarationError, PermanentError
from trimtab.loop.past.traffic import Traffic, open_traffic
from trimtab.serving.client.answers import Truth
from trimtab.serving.telemetry.segments import ENCODING, EncodedColumn, Encoding, pack
from trimtab.testing.sources import END, SourceSuite, moment
from trimtab.wiring.kinds import source_kinds
from trimtab.wiring.sources import open_any

TOWN = "Ulm, an der Donau"
TRIPS = Encoding(
    "trips",
    "binary_classification",
    ["no", "yes"],
    [
        EncodedColumn("minutes", "number"),
        EncodedColumn("fare", "number"),
        EncodedColumn("town", "category", [TOWN]),
        EncodedColumn("wet", "number"),
    ],
)


class Driven(Written):
    """Telemetry of a model of trips."""

    def trips(self, rows: pl.DataFrame) -> None:
        self.writer.describe("trips", pack(ENCODING, msgspec.msgpack.encode(TRIPS)))
        for row in rows.iter_rows(named=True):
            town = 0.0 if row["town"] else -1.0
            cells = np.array([[row["minutes"], row["fare"], town, row["wet"]]], np.float32)
            data, kept = self._inputs.matrix([row["id"]], cells, owed=False)
            self._write([row["id"]], row["at"], "r1", "live", 1, "trips", data, kept, 4)


class TestTraffic(SourceSuite):
    def put(self, folder: Path, part: str, rows: pl.DataFrame) -> None:
        written = Driven(folder / "telemetry")
        written.trips(rows)
        written.close()

    def open(self, folder: Path, page_rows: int) -> Traffic:
        return Traffic(self.spec("telemetry:"), folder / "telemetry", page_rows=page_rows)


def test_truth_fills_in_the_label_when_it_comes(tmp_path: Path) -> None:
    """One row a prediction, whatever shadows scored and however often it was asked; its label follows."""
    spec = DatasetSpec(
        name="asked", source="telemetry:", key=("trip",), time="asked_at", label="late", late=86_400.0, label_delay=0.0
    )
    written = Written(tmp_path / "telemetry")
    written.answer(["a", "b"], moment(1), matrix=[[12.5, 0], [np.nan, -1]])
    written.answer(["a", "b"], moment(1), "r2", stage="shadow", matrix=[[12.5, 0], [np.nan, -1]])
    written.answer(["a"], moment(2), matrix=[[12.5, 0]])
    store = DatasetStore(tmp_path / "store", spec)
    store.collect(Traffic(spec, tmp_path / "telemetry"), until=moment(3), now=moment(3))
    first = store.read().sort("trip")
    assert first.select("trip", "asked_at", "distance", "carrier", "release", "stage").rows() == [
        ("a", moment(1), 12.5, "AA", "r1", "live"),
        ("b", moment(1), None, None, "r1", "live"),
    ]
    assert first["late"].to_list() == [None, None]
    written.tell({"a": 1.0}, moment(5))
    written.close()
    store.collect(Traffic(spec, tmp_path / "telemetry"), until=moment(6), now=moment(6))
    assert store.read().sort("trip")["late"].to_list() == [1.0, None]
    assert store.version().rows == 2
    assert store.quarantined().total == 0


def test_a_real_server_s_traffic_becomes_a_dataset(tmp_path: Path) -> None:
    """Asked over HTTP, told over HTTP, collected from where it lies."""
    running = Running(tmp_path / ".trimtab").start()
    try:
        running.route(models.route("r1", models.bundle(running.blobs, models.sigmoid([0.001, 0.5]))))
        with running.client() as client:
            rows = [{"distance": 100.0 + n, "carrier": "DL" if n % 2 else None} for n in range(20)]
            client.predict(rows, ids=[f"p{n}" for n in range(20)])
            client.feedback([Truth(id=f"p{n}", truth=float(n % 2)) for n in range(0, 20, 2)])
    finally:
        running.local.stop()
    spec = DatasetSpec(name="asked", source="telemetry:", key=("id",), time="at", label="late")
    found = open_any(spec, tmp_path).fetch(None, END + timedelta(days=36500)).sort("id")
    assert found.height == 20
    assert found.filter(pl.col("id") == "p7").select("distance", "carrier", "late").row(0) == (107.0, "DL", None)
    assert found["late"].drop_nulls().to_list() == [0.0] * 10
    assert found["score"].is_between(0, 1).all()


def test_what_names_no_traffic_is_refused(tmp_path: Path) -> None:
    kind = source_kinds().find("telemetry")
    assert kind is not None
    assert kind.options is not None
    with pytest.raises(DeclarationError, match="names no state"):
        kind.check("telemetry://x", kind.options())
    spec = DatasetSpec(name="asked", source="telemetry:../other", key=("id",), time="at")
    with pytest.raises(PermanentError, match="there is no state at"):
        open_traffic(spec, tmp_path)
    with pytest.raises(DeclarationError, match="has one key"):
        open_traffic(msgspec.structs.replace(spec, key=("a", "b")), tmp_path)
    own = msgspec.structs.replace(spec, source="telemetry:")
    assert open_traffic(own, tmp_path).fetch(None, END).is_empty()
