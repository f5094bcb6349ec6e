"""The server as Triton's own client sees it, over HTTP and over gRPC, with the client as it is shipped."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.adapters.tritonclient.conftest import ROOT, Ask, asking
from tests.serving import models, pictures
from tests.serving.running import Running

from trimtab.records.server import ServerConfig

pytestmark = pytest.mark.component
both = pytest.mark.parametrize("over", ["http", "grpc"])


def expected(distance: float, code: float) -> float:
    return 1 / (1 + math.exp(-(0.001 * distance + 0.5 * code)))


COLUMNS = [["distance", "FP64", [1000.0, -2000.0]], ["carrier", "BYTES", ["DL", "ZZ"]]]
SCORES = [expected(1000.0, 1), expected(-2000, -1)]


@both
def test_health(ask: Ask, over: str) -> None:
    calls = [
        {"do": "health", "model": "flights"},
        {"do": "ready", "model": "flights", "version": "model-r1"},
        {"do": "ready", "model": "flights", "version": "other"},
        {"do": "server_metadata"},
    ]
    health, ready, other, told = ask(over, calls)
    assert health == [True, True, True]
    assert ready is True
    assert other is False
    assert told["name"] == "trimtab"


@both
def test_metadata(ask: Ask, over: str) -> None:
    told = ask(over, do="metadata", model="flights")
    assert (told["name"], told["versions"]) == ("flights", ["model-r1"])
    assert [(one["name"], one["datatype"]) for one in told["inputs"]] == [("distance", "FP64"), ("carrier", "BYTES")]
    assert [int(one["shape"][0]) for one in told["outputs"]] == [-1, -1, -1]


@both
def test_columns(ask: Ask, over: str) -> None:
    told = ask(over, do="infer", model="flights", tensors=COLUMNS, request_id="call-7", outputs=OUTPUTS)
    assert (told["model"], told["version"], told["id"]) == ("flights", "model-r1", "call-7")
    check(told)
    assert told["types"] == {"score": "float32", "label": "object", "prediction_id": "object"}


OUTPUTS = [["score", False], ["label", False], ["prediction_id", False]]


def check(told: dict) -> None:
    outputs = told["outputs"]
    assert outputs["score"] == pytest.approx(SCORES, abs=1e-6)
    assert outputs["label"] == ["late", "on time"]
    assert len(set(outputs["prediction_id"])) == 2


@both
def test_encoded_rows_and_a_pinned_version(ask: Ask, over: str) -> None:
    tensor = ["input", "FP32", [[1000.0, 1.0], [-2000.0, -1.0]]]
    told = ask(
        over, do="infer", model="flights", model_version="model-r1", tensors=[tensor], outputs=[["score", False]]
    )
    assert told["outputs"] == {"score": pytest.approx(SCORES, abs=1e-6)}


@pytest.mark.parametrize("inward", [True, False])
@pytest.mark.parametrize("outward", [True, False])
def test_bytes_in_either_direction_over_http(ask: Ask, inward: bool, outward: bool) -> None:
    tensors = [[*one, inward] for one in COLUMNS]
    outputs = [[name, outward] for name, _ in OUTPUTS]
    check(ask("http", do="infer", model="flights", tensors=tensors, outputs=outputs))
    check(ask("http", do="infer", model="flights", tensors=tensors))  # the client's own choice: everything in bytes


@both
def test_many_at_once(ask: Ask, over: str) -> None:
    wanted = {"model": "flights", "tensors": COLUMNS, "outputs": OUTPUTS}
    calls = [{"do": "infer_at_once", "times": 40, **wanted}, {"do": "infer_with_asyncio", "times": 40, **wanted}]
    for found in ask(over, calls):
        assert len(found) == 40
        for told in found:
            check(told)
        assert len({one for told in found for one in told["outputs"]["prediction_id"]}) == 80


def test_a_stream(ask: Ask) -> None:
    found = ask("grpc", do="stream", model="flights", tensors=COLUMNS, times=40)
    assert [told["id"] for told in found] == [str(number) for number in range(40)]
    for told in found:
        check(told)


@both
def test_ids_are_the_callers_when_given(ask: Ask, server: Running, over: str) -> None:
    given = [f"{over}-1", f"{over}-2"]
    parameters = {"prediction_ids": given if over == "http" else f'["{given[0]}", "{given[1]}"]'}
    told = ask(over, do="infer", model="flights", tensors=COLUMNS, parameters=parameters, outputs=OUTPUTS)
    assert told["outputs"]["prediction_id"] == given
    assert {*given} <= {*server.reader().predictions()["id"]}


@both
def test_refusals_are_exceptions_with_our_words(ask: Ask, over: str) -> None:
    calls = [
        {"do": "infer", "model": "other", "tensors": COLUMNS},
        {"do": "infer", "model": "flights", "tensors": COLUMNS[:1]},
        {"do": "infer", "model": "flights", "tensors": [["distance", "FP64", []], ["carrier", "BYTES", []]]},
        {"do": "infer", "model": "flights", "tensors": COLUMNS, "outputs": [["other", False]]},
        {"do": "infer", "model": "flights", "tensors": COLUMNS, "model_version": "old"},
        {"do": "load", "model": "flights"},
    ]
    unknown, missing, empty, output, version, moved = ask(over, calls)
    assert "this server serves 'flights'" in unknown["error"]
    assert "column 'carrier' is missing" in missing["error"]
    assert "no rows" in empty["error"]
    assert "expected some of score, label" in output["error"]
    assert "'old' is neither live nor canary" in version["error"]
    assert "not loaded or unloaded by callers" in moved["error"]
    wanted = ["StatusCode.NOT_FOUND", "StatusCode.INVALID_ARGUMENT"] if over == "grpc" else ["404", "422"]
    assert [unknown["status"], missing["status"]] == wanted


@both
def test_repository_and_statistics(ask: Ask, over: str) -> None:
    index, model, everything, one = ask(
        over,
        [
            {"do": "repository"},
            {"do": "statistics", "model": "flights"},
            {"do": "statistics"},
            {"do": "statistics", "model": "flights", "version": "model-r1"},
        ],
    )
    listed = index["models"] if over == "grpc" else index
    assert [(one["name"], one["version"], one["state"]) for one in listed] == [("flights", "model-r1", "READY")]
    assert model == everything == one
    (told,) = model["model_stats"]
    assert (told["name"], told["version"]) == ("flights", "model-r1")
    assert int(told["inference_count"]) >= int(told["execution_count"]) > 0
    success = told["inference_stats"]["success"]
    assert int(success["count"]) > 0
    assert int(success["ns"]) > 0


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    made = Running(tmp_path_factory.mktemp("gallery"), ServerConfig(system=models.SYSTEM, port=0, grpc_port=0))
    made.start()
    made.route(pictures.route("p1", pictures.colours(made.blobs)))
    yield made
    made.local.stop()


@both
def test_pictures_as_files_and_as_pixels(gallery: Running, tritonclient: Path, over: str) -> None:
    file = "base64:" + base64.b64encode(pictures.PNG).decode()
    wanted = {"model": "flights", "outputs": [["score", True], ["pixels", True]]}
    metadata, files, pixels = asking(gallery, tritonclient)(
        over,
        [
            {"do": "metadata", "model": "flights"},
            {"do": "infer", "tensors": [["image", "BYTES", [file, file], True]], **wanted},
            {"do": "infer", "tensors": [["image", "UINT8", pictures.TENSOR.tolist(), True]], **wanted},
        ],
    )
    assert [(one["name"], one["datatype"]) for one in metadata["inputs"]] == [("image", "UINT8")]
    for told, count in ((files, 2), (pixels, 1)):
        assert told["outputs"]["score"] == [pytest.approx(pictures.chances(), abs=1e-4)] * count
        assert told["outputs"]["pixels"] == [3 * 32 * 48] * count


@both
def test_a_token(tmp_path: Path, tritonclient: Path, over: str) -> None:
    digest = hashlib.sha256(b"right").hexdigest()
    server = Running(
        tmp_path, ServerConfig(system=models.SYSTEM, port=0, grpc_port=0, token_digest=digest), token="right"
    )
    server.start()
    try:
        server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([0.001, 0.5]))))
        call = {"do": "infer", "model": "flights", "tensors": COLUMNS, "outputs": OUTPUTS}
        check(asking(server, tritonclient, "right")(over, **call))
        for token in (None, "wrong"):
            assert "bearer token is" in asking(server, tritonclient, token)(over, **call)["error"]
    finally:
        server.local.stop()


@pytest.mark.parametrize("over", ["grpc", "http"])
def test_the_example_of_the_page(server: Running, tritonclient: Path, over: str) -> None:
    page = (ROOT / "docs" / "clients.md").read_text("utf-8")
    (code,) = re.findall(r"^```python tritonclient\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    if over == "http":
        code = code.replace("tritonclient.grpc", "tritonclient.http").replace("8081", "8080")
    code = code.replace("localhost:8081", server.grpc).replace("localhost:8080", urlsplit(server.url).netloc)
    done = subprocess.run([tritonclient, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "late" in done.stdout
