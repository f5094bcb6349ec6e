"""Files of rows through a real server, in every format, and everything kept."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.serving import models
from tests.serving.batches import FORMATS, MOMENT, ask, frame, read, scores, written
from tests.serving.conftest import Make
from tests.serving.running import Running

from trimtab.records.model import Column, Feature
from trimtab.serving.batch.formats import CONTENT_TYPES, sent_format, wanted_format
from trimtab.serving.refusals import RefusalError


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_answered_in_kind(running: Running, form: str) -> None:
    given = frame(1000)
    status, data, kind = ask(running, form, written(form, given), query="?id=flight&time=at")
    assert (status, kind) == (200, CONTENT_TYPES[form])  # type: ignore[index]
    answers = read(form, data)
    assert [one["row"] for one in answers] == list(range(1000))
    assert [one["id"] for one in answers] == given["flight"].to_list()
    assert [one["score"] for one in answers] == pytest.approx(scores(given), abs=1e-6)
    assert [one["label"] for one in answers] == ["late" if one["score"] >= 0.5 else "on time" for one in answers]
    assert {(one["release"], one["model"], one.get("error")) for one in answers} == {("r1", "model-r1", None)}
    kept = running.reader().predictions().sort("at")
    assert kept["id"].to_list() == given["flight"].to_list()
    assert kept["at"].to_list() == given["at"].to_list()
    assert kept["score"].to_list() == pytest.approx([one["score"] for one in answers], abs=1e-7)
    assert running.ask("GET", "/v2/models/flights/stats")[1]["model_stats"][0]["inference_count"] == 1000


@pytest.mark.parametrize(("form", "wanted"), list(zip(FORMATS, FORMATS[1:] + FORMATS[:1], strict=True)))
def test_any_format_can_be_wanted(shared: Running, form: str, wanted: str) -> None:
    given = frame(20).drop("at")
    status, data, kind = ask(shared, form, written(form, given), wanted)
    assert (status, kind) == (200, CONTENT_TYPES[wanted])  # type: ignore[index]
    assert [one["score"] for one in read(wanted, data)] == pytest.approx(scores(given), abs=1e-6)


def test_an_arrow_file_and_dictionaries_are_read(shared: Running) -> None:
    given = (
        frame(50).drop("at").with_columns(pl.col("carrier").cast(pl.Categorical), pl.col("distance").cast(pl.Float32))
    )
    out = io.BytesIO()
    given.write_ipc(out, compression="zstd")
    status, data, _ = ask(shared, "arrow", out.getvalue())
    assert status == 200
    assert [one["score"] for one in read("arrow", data)] == pytest.approx(scores(given), abs=1e-6)


def test_a_version_can_be_asked(shared: Running) -> None:
    body = b'{"distance":1,"carrier":"AA"}\n'
    assert ask(shared, "ndjson", body, path="/v2/models/flights/versions/model-r1/batch")[0] == 200
    assert ask(shared, "ndjson", body, path="/v2/models/flights/versions/none/batch")[0] == 404


def test_features_of_the_users_own_and_canaries_that_need_rows(make: Make) -> None:
    server = make()
    code = (
        "import polars as pl\n"
        "def features(rows):\n"
        "    if (rows['distance'] == 13).any(): raise ValueError('unlucky')\n"
        "    return rows.select(hour=pl.col('at').dt.hour().cast(pl.Float64), far=pl.col('distance') > 500)\n"
    )
    inputs = (Column(name="at", kind="time"), Column(name="distance", kind="number"))
    made_of = (Feature(name="hour", kind="number"), Feature(name="far", kind="category", vocabulary=("false", "true")))
    sig = models.signature("regression", inputs, made_of, classes=())
    live = models.bundle(server.blobs, models.linear([1.0, 100.0]), sig, code)
    other = models.bundle(server.blobs, models.linear([0.0, 0.0], 7.0), sig, code + "# another\n")
    server.route(models.route("r1", live), models.route("r2", other, "canary", 0.5))
    given = pl.DataFrame(
        {
            "at": [MOMENT + timedelta(hours=n % 10) for n in range(200)],
            "distance": [float(13 if n == 5 else n * 10) for n in range(200)],
        }
    )
    for form in ("parquet", "csv"):
        status, data, _ = ask(server, form, written(form, given), "arrow")
        assert status == 200, data
        answers = read("arrow", data)
        assert [one["row"] for one in answers if one["error"]] == [5]
        assert "unlucky" in answers[5]["error"]
        for row, one in enumerate(answers):
            if row != 5:
                expected = 12 + row % 10 + (100 if row * 10 > 500 else 0)
                assert one["score"] == (7.0 if one["release"] == "r2" else expected)
        assert 50 < sum(one["release"] == "r2" for one in answers) < 150


def test_several_classes_in_every_format(make: Make) -> None:
    server = make()
    classes = ("early", "on time", "late")
    graph = models.softmax([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    made = models.bundle(server.blobs, graph, models.signature("multiclass_classification", classes=classes))
    server.route(models.route("r1", made))
    body = b'{"distance":5,"carrier":"AA"}\n{"distance":"x","carrier":"AA"}\n{"distance":-5,"carrier":"UA"}\n'
    for form in ("ndjson", "csv", "parquet"):
        data = ask(server, "ndjson", body, form)[1]
        if form == "csv":
            rows = list(csv.DictReader(io.StringIO(data.decode())))
            assert list(rows[0]) == [
                "row",
                "id",
                "score_early",
                "score_on time",
                "score_late",
                "label",
                "release",
                "model",
                "error",
            ]
            assert float(rows[0]["score_late"]) == pytest.approx(0.9867, abs=1e-3)
            assert rows[1]["score_late"] == ""
            continue
        answers = read(form, data)
        assert [one.get("label") for one in answers] == ["late", None, "on time"]
        assert sum(answers[0]["score"]) == pytest.approx(1.0, abs=1e-6)
        assert answers[1].get("score") is None
        assert "expected a number" in answers[1]["error"]


def test_formats_are_chosen_by_what_is_accepted() -> None:
    assert sent_format("text/csv; charset=utf-8") == "csv"
    assert wanted_format("", "csv") == "csv"
    assert wanted_format("*/*", "parquet") == "parquet"
    assert wanted_format("application/json;q=0.9, application/x-ndjson;q=0.5, text/csv;q=0.7", "arrow") == "csv"
    assert wanted_format("text/html, */*;q=0.1", "arrow") == "arrow"
    for bad in ("text/html", "text/csv;q=0", ";;,"):
        with pytest.raises(RefusalError) as caught:
            wanted_format(bad, "csv")
        assert caught.value.status == 406


def test_the_server_imports_neither_arrow_nor_polars_for_it(running: Running, tmp_path: Path) -> None:
    assert ask(running, "parquet", written("parquet", frame(10).drop("at")))[0] == 200
    assert running.local.pid is not None
    maps = Path(f"/proc/{running.local.pid}/maps").read_text("ascii")
    assert "numpy" in maps
    assert "pyarrow" not in maps
    assert "polars" not in maps
    assert np.isfinite(running.status().rss)
