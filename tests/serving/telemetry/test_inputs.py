"""Whose inputs are kept: by the id alone, as many as declared, and evenly whatever was declared when."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving import models
from tests.serving.conftest import Make
from tests.serving.running import until
from tests.serving.telemetry.written import T0, Written

from trimtab.records.telemetry import TelemetryPolicy
from trimtab.serving.routing.shares import Shares
from trimtab.serving.telemetry.inputs import InputSampling, digest, position
from trimtab.serving.telemetry.maintenance.compaction import compact
from trimtab.serving.telemetry.reading.reader import TelemetryReader

ids = st.lists(st.text(max_size=8), min_size=1, max_size=40, unique=True)


@given(ids, st.floats(0, 1), st.booleans())
def test_the_id_alone_decides(names: list[str], share: float, owed: bool) -> None:
    sampling = InputSampling(TelemetryPolicy(inputs=share))
    matrix = np.arange(2 * len(names), dtype=np.float32).reshape(-1, 2)
    data, kept = sampling.matrix(names, matrix, owed=owed)
    if share >= 1.0:
        assert (kept, data) == (None, matrix.tobytes())
        return
    assert kept is not None
    places = np.frombuffer(kept.kept, np.int32)
    assert [names[place] for place in places] == [name for name in names if position(name) < share]
    assert data == (matrix if owed else matrix[places]).tobytes()
    assert kept.complete == owed
    assert kept.digests == b""


def test_the_share_is_kept_and_has_nothing_to_do_with_the_canary() -> None:
    names = [f"{number:06d}" for number in range(40_000)]
    kept = np.array([position(name) < 0.1 for name in names])
    assert abs(kept.mean() - 0.1) < 5 * np.sqrt(0.09 / len(names))
    canary = np.zeros(len(names), bool)
    canary[Shares((0.2,)).split(names)[0]] = True
    assert abs(kept[canary].mean() - 0.1) < 5 * np.sqrt(0.09 / canary.sum())


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=30), st.floats(0, 1), st.floats(0, 1))
def test_large_rows_have_a_share_of_their_own(payloads: list[bytes], inputs: float, sample: float) -> None:
    names = [f"p{place}" for place in range(len(payloads))]
    sampling = InputSampling(TelemetryPolicy(inputs=inputs, large=30, sample=sample))
    data, kept = sampling.payloads(names, payloads, ["image"] * len(payloads), owed=False)
    shares = [sample if len(one) > 30 else inputs for one in payloads]
    chosen = [
        place
        for place, (name, share) in enumerate(zip(names, shares, strict=True))
        if share >= 1 or position(name) < share
    ]
    assert data == b"".join(payloads[place] for place in chosen)
    assert np.frombuffer(kept.sizes, np.int64).tolist() == [len(one) for one in payloads]
    if min(shares) < 1.0:
        assert np.frombuffer(kept.kept, np.int32).tolist() == chosen
        assert len(kept.digests) == 16 * len(payloads)


@pytest.mark.parametrize("compacted", [False, True])
def test_a_share_that_was_changed_leaves_an_even_sample(tmp_path: Path, compacted: bool) -> None:
    """Half were kept on the first day, a tenth on the second: a tenth of each is what can be compared."""
    for day, share in ((0, 0.5), (1, 0.1)):
        written = Written(tmp_path, TelemetryPolicy(inputs=share), run=day + 1)
        for hour in range(10):
            at = T0 + timedelta(days=day, hours=hour)
            written.answer([f"{day}-{hour}-{row}" for row in range(400)], at, owed=hour % 2 == 0)
        written.close()
    if compacted:
        compact(tmp_path)
    reader = TelemetryReader(tmp_path)
    reader.refresh()
    first = reader.features(T0, T0 + timedelta(days=1), "r1")
    assert first.share == 0.5
    assert first.rows == 4000
    both = reader.features(None, None, "r1")
    assert both.share == pytest.approx(0.1)
    assert both.rows == 8000
    days = np.bincount([int(name[0]) for name in both.ids])
    assert days.sum() == len(both.matrix) == len(both.at)
    assert np.abs(days - 400).max() < 5 * np.sqrt(360)
    assert not np.isnan(both.matrix[:, 1]).any()
    assert set(both.ids) == {name for name in reader.predictions()["id"] if position(name) < np.float32(0.1)}


def test_a_server_keeps_answers_of_all_and_inputs_of_some(make: Make) -> None:
    """Shadow releases score every row all the same, those included that were owed when the server was killed."""
    server = make(telemetry=TelemetryPolicy(inputs=0.2))
    bundle = models.bundle(server.blobs, models.sigmoid([0.001, 0.5]))
    code = "import time\ndef features(rows):\n    time.sleep(0.3)\n    return rows\n"
    slow = models.bundle(server.blobs, models.sigmoid([-1.0, 0.0]), code=code)
    server.route(models.route("r1", bundle), models.route("r2", bundle, "shadow"), models.route("r3", slow, "shadow"))
    names = [f"{number}" for number in range(200)]
    with server.client() as client:
        for low in range(0, 200, 50):
            rows = [{"distance": float(name), "carrier": "DL"} for name in names[low : low + 50]]
            client.predict(rows, names[low : low + 50])
    server.kill()
    server.start()
    with server.client() as client:
        client.settle()
    chosen = sorted(name for name in names if position(name) < np.float32(0.2))
    assert 20 < len(chosen) < 60
    for form in ("frames", "arrow"):
        reader = server.reader()
        assert len(reader.predictions()) == 600
        for release in ("r1", "r2", "r3"):
            found = reader.features(None, None, release)
            assert sorted(found.ids) == chosen, release
            assert found.matrix[:, 0].tolist() == [float(name) for name in found.ids]
            assert found.rows == 200
        if form == "frames":
            server.local.stop()
            until(lambda: server.local.pid is None)
            compact(server.layout.telemetry)


def test_wide_rows_leave_their_digest(tmp_path: Path) -> None:
    written = Written(tmp_path, TelemetryPolicy(large=4, sample=0.5))
    names = [f"{number}" for number in range(40)]
    matrix = np.arange(80, dtype=np.float32).reshape(40, 2) % 3
    written.answer(names, T0, matrix=matrix)
    written.close()
    (name,) = compact(tmp_path)
    table = pl.read_ipc(tmp_path / name / "answers-tab.arrow")
    assert table["digest"].to_list() == [digest(row.tobytes()).hex() for row in matrix]
    assert table["kept"].to_list() == [position(one) < 0.5 for one in names]
    assert table["input_distance"].is_null().to_list() == [not kept for kept in table["kept"]]
    assert table["share"].unique().to_list() == [0.5]
