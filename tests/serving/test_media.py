"""Images, sounds and tensors through a real server, in every form they may come in."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import orjson
import pytest
from onnx import TensorProto
from tests.inference.tensors import graphs, media
from tests.serving import models, pictures
from tests.serving.pictures import INFER, PNG, TENSOR, binary, chances, in_bytes, packed
from tests.serving.running import Running

from trimtab.records.model import Signature
from trimtab.records.server import ServerConfig
from trimtab.records.tensors import TensorInput, TensorOutput, Tensors


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("pictures"), ServerConfig(system=models.SYSTEM, port=0))
    running.start()
    running.route(pictures.route("p1", pictures.colours(running.blobs)))
    yield running
    running.local.stop()


def ways() -> list[Any]:
    """Every way to send the same picture: method, path, body, header lines."""
    encoded = base64.b64encode(PNG).decode()
    oip = {"name": "image", "datatype": "BYTES", "shape": [1]}
    raw = packed(PNG)
    return [
        pytest.param("/predict", PNG, {"content-type": "image/png"}, id="a file"),
        pytest.param("/predict", PNG, {"content-type": "application/octet-stream"}, id="octets"),
        pytest.param("/predict", {"rows": [{"image": encoded}]}, {}, id="rows of base64"),
        pytest.param("/predict", [{"image": TENSOR[0].tolist()}], {}, id="rows of numbers"),
        pytest.param(INFER, {"inputs": [oip | {"data": [encoded]}]}, {}, id="BYTES in JSON"),
        pytest.param(INFER, *binary({"inputs": [in_bytes("image", "BYTES", [1], raw)]}, raw), id="BYTES"),
        pytest.param(
            INFER,
            {
                "inputs": [
                    {"name": "image", "datatype": "UINT8", "shape": [1, 3, 32, 48], "data": TENSOR.ravel().tolist()}
                ]
            },
            {},
            id="tensor in JSON",
        ),
        pytest.param(
            INFER,
            *binary({"inputs": [in_bytes("image", "UINT8", [1, 3, 32, 48], TENSOR.tobytes())]}, TENSOR.tobytes()),
            id="tensor",
        ),
        pytest.param(INFER, PNG, {"inference-header-content-length": "0"}, id="bytes alone"),
    ]


@pytest.mark.parametrize(("path", "body", "headers"), ways())
def test_every_way_to_send_a_picture_gives_its_answer(server, path, body, headers):
    if "inference-header-content-length" in headers and headers["inference-header-content-length"] == "0":
        status, told = ask_binary(server, body, headers)
        assert status == 200
        assert np.allclose(told["score"], [chances()], atol=1e-4)
        assert told["label"] == [["red", "green", "blue"][int(np.argmax(chances()))]]
        return
    status, told = server.ask("POST", path, body, headers)
    assert status == 200, told
    if path == "/predict":
        (row,) = told["predictions"]
        score, label, outputs = row["score"], row["label"], row["outputs"]
    else:
        by_name = {one["name"]: one for one in told["outputs"]}
        assert by_name["score"]["shape"] == [1, 3]
        score, label = by_name["score"]["data"], by_name["label"]["data"][0]
        assert by_name["pixels"] == {"name": "pixels", "datatype": "FP32", "shape": [1], "data": [3 * 32 * 48]}
        outputs = {"pixels": by_name["pixels"]["data"][0]}
    assert np.allclose(score, chances(), atol=1e-4)
    assert label == ["red", "green", "blue"][int(np.argmax(chances()))]
    assert outputs == {"pixels": 3 * 32 * 48}


def ask_binary(server: Running, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """The outputs of an answer in binary form."""
    import http.client
    from urllib.parse import urlsplit

    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    connection.request("POST", INFER, body, headers)
    response = connection.getresponse()
    content = response.read()
    length = int(response.headers["inference-header-content-length"])
    head = orjson.loads(content[:length])
    found, offset = {}, length
    for one in head["outputs"]:
        size = one["parameters"]["binary_data_size"]
        raw = content[offset : offset + size]
        offset += size
        if one["datatype"] == "BYTES":
            texts = []
            while raw:
                end = 4 + int.from_bytes(raw[:4], "little")
                texts.append(raw[4:end].decode())
                raw = raw[end:]
            found[one["name"]] = texts
        else:
            found[one["name"]] = np.frombuffer(raw, {"FP32": "<f4", "INT64": "<i8"}[one["datatype"]]).reshape(
                one["shape"]
            )
    connection.close()
    assert offset == len(content)
    return response.status, found


def test_metadata_tells_what_may_be_sent(server):
    _, told = server.ask("GET", f"/v2/models/{models.SYSTEM}")
    assert told["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 3, 32, 48]}]
    assert [one["name"] for one in told["outputs"]] == ["score", "label", "prediction_id", "pixels"]
    files = told["parameters"]["files"]["image"]
    assert (files["of"], files["datatype"], files["max_pixels"], files["size"]) == (
        "image",
        "BYTES",
        32_000_000,
        [32, 48],
    )


def test_only_the_outputs_that_are_wanted_are_answered(server):
    inputs = [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(PNG).decode()]}]
    for wanted in (["pixels"], ["score", "pixels"], ["label"]):
        _, told = server.ask("POST", INFER, {"inputs": inputs, "outputs": [{"name": name} for name in wanted]})
        assert [one["name"] for one in told["outputs"]] == wanted
    status, told = server.ask("POST", INFER, {"inputs": inputs, "outputs": [{"name": "boxes"}]})
    assert status == 422
    assert "expected some of score, label, prediction_id, pixels" in told["error"]


def test_a_prediction_id_comes_with_a_file(server):
    status, told = server.ask("POST", "/predict", PNG, {"content-type": "image/png", "x-prediction-id": "photo-7"})
    assert (status, told["predictions"][0]["id"]) == (200, "photo-7")
    assert server.ask("POST", "/feedback", {"id": "photo-7", "truth": "red"})[0] == 200
    again = server.ask("POST", "/predict", PNG, {"content-type": "image/png", "x-prediction-id": "photo-7"})
    assert again == (200, told)


def refusals() -> list[Any]:
    as_file = {"content-type": "image/png"}
    two = packed(PNG, PNG[:-300])
    bad_row, lengths = binary({"inputs": [in_bytes("image", "BYTES", [2], two)]}, two)
    return [
        ("/predict", media.png_bomb(6400), as_file, 413, "the image has 6,400 x 6,400 pixels; at most 32,000,000"),
        ("/predict", b"GIF89a" + b"\0" * 99, as_file, 415, "the image is GIF; expected JPEG, PNG, WEBP, BMP"),
        ("/predict", b"", as_file, 415, "input 'image': these bytes are no image that can be read"),
        ("/predict", PNG[:200], as_file, 422, "row 0, input 'image': the PNG image is damaged"),
        ("/predict", media.jpeg_of_scans(200), as_file, 413, "the JPEG image has more than 100 scans"),
        (INFER, bad_row, lengths, 422, "row 1, input 'image': the PNG image is damaged"),
        ("/predict", [{"image": "nothing!"}], {}, 422, "row 0, input 'image': not base64"),
        ("/predict", [{"image": [[1, 2], [3]]}], {}, 422, "row 0, input 'image': `data` is not nested evenly"),
        ("/predict", [{"image": TENSOR[0].tolist()}, {"picture": 1}], {}, 422, "row 1: unknown input 'picture'"),
        ("/predict", [{"image": TENSOR[0].tolist()}, {}], {}, 422, "row 1: input 'image' is missing"),
        ("/predict", [{}], {}, 422, "row 0: input 'image' is missing"),
        ("/predict", [{"image": None}], {}, 422, "expected a file in base64, or nested lists, got null"),
        ("/predict", media.png(0, 0), as_file, 422, "the PNG image is damaged: its head cannot be read"),
        ("/predict", [3], {}, 422, "row 0: expected an object with image, got 3"),
        ("/predict", [], {}, 422, "no rows"),
        (INFER, {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 3, 32, 48], "data": [0.0] * 4608}]}, {},
         422, "input 'image': datatype FP32; expected UINT8"),
        (INFER, {"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 3, 2, 2], "data": [0] * 12}]}, {},
         422, "input 'image': shape [1, 3, 2, 2]; expected [-1, 3, 32, 48]"),
        (INFER, {"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 3, 32, 48], "data": [0] * 12}]}, {},
         422, "input 'image': 12 values"),
        (INFER, {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1, 2], "data": ["", ""]}]}, {},
         422, "files come as BYTES of shape [rows]"),
        (INFER, {"inputs": [{"name": "x", "datatype": "UINT8", "shape": [1], "data": [0]}]}, {}, 422, "input 'x'"),
    ]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "headers", "status", "message"), refusals())
def test_what_cannot_be_taken_is_refused_with_its_figures(server, path, body, headers, status, message):
    found, told = server.ask("POST", path, body, headers)
    assert (found, message in told["error"]) == (status, True), told


@pytest.mark.parametrize(
    ("body", "kind", "status", "hint"),
    [
        (PNG, "application/x-www-form-urlencoded", 400, "send a file as it is, with its own type: --data-binary @FILE"),
        (b"--x\r\n", "multipart/form-data; boundary=x", 415, "send a file as it is, with its own type"),
        ([{"image": "picture.png"}], "application/json", 422, "send the bytes of the file in base64, not its name"),
    ],
)
def test_how_a_file_is_sent_is_told(server, body, kind, status, hint):
    found, told = server.ask("POST", "/predict", body, {"content-type": kind})
    assert (found, told["hint"].startswith(hint)) == (status, True), told


def test_a_bad_file_spoils_nothing_for_others(server):
    """Many at once, every third of them damaged: each gets its own answer, and no more memory is kept."""
    from concurrent.futures import ThreadPoolExecutor

    def ask(number: int) -> tuple[int, Any]:
        pixels = media.picture(40, 50, number)
        data = media.file_of(pixels, "JPEG" if number % 2 else "PNG")
        status, told = server.ask(
            "POST", "/predict", data[: -len(data) // 3] if number % 3 == 0 else data, {"content-type": "image/png"}
        )
        return status, told

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(60)))
    assert [status for status, _ in answers] == [422 if number % 3 == 0 else 200 for number in range(60)]


def test_a_table_takes_no_file(running):
    status, told = running.ask("POST", "/predict", PNG, {"content-type": "image/png"})
    assert (status, told["error"]) == (415, "content-type image/png: the model takes rows of columns")


def test_sounds_of_any_length(make):
    server = make()
    server.route(
        pictures.route(
            "s1", pictures.bundle(server.blobs, graphs.loudest(), graphs.loudest_signature(media.audio_input()))
        )
    )
    flac = media.sound_of(media.tone(0.25, 48_000), 48_000, "FLAC")
    status, told = server.ask("POST", "/predict", flac, {"content-type": "audio/flac"})
    assert status == 200
    (row,) = told["predictions"]
    assert set(row) == {"id", "outputs", "release", "model"}
    assert row["outputs"]["peak"] == pytest.approx(0.5, abs=0.02)
    assert len(row["outputs"]["wave"]) == 4000
    files = packed(flac, media.sound_of(media.tone(0.5)))
    status, told = server.ask("POST", INFER, *binary({"inputs": [in_bytes("sound", "BYTES", [2], files)]}, files))
    by_name = {one["name"]: one for one in told["outputs"]}
    assert set(by_name) == {"peak", "wave", "prediction_id"}
    assert by_name["wave"]["shape"] == [2, 8000]
    assert by_name["wave"]["data"][4000:8000] == [0.0] * 4000
    long = media.sound_of(media.tone(61.0, 8_000), 8_000, "FLAC")
    status, told = server.ask("POST", "/predict", long, {"content-type": "audio/flac"})
    assert (status, told["error"]) == (413, "row 0, input 'sound': the sound is longer than 60 s")
    status, told = server.ask("POST", "/predict", PNG, {"content-type": "audio/wav"})
    assert status == 415
    ids = [one["id"] for one in server.ask("POST", "/predict", flac, {"content-type": "audio/flac"})[1]["predictions"]]
    assert server.ask("POST", "/feedback", {"id": ids[0], "truth": "a tone"})[0] == 200


def test_several_tensors_of_several_types(make):
    server = make()
    server.route(pictures.route("t1", pictures.bundle(server.blobs, graphs.two_inputs(), graphs.two_signature())))
    a, b = np.int64([[1, 2], [3, 2**40]]), np.float16([[0.5, 1], [1.5, 2]])
    head = {"inputs": [in_bytes("a", "INT64", [2, 2], a.tobytes()), in_bytes("b", "FP16", [2, 2], b.tobytes())]}
    status, told = server.ask("POST", INFER, *binary(head, a.tobytes(), b.tobytes()))
    assert status == 200, told
    by_name = {one["name"]: one for one in told["outputs"]}
    assert by_name["sum"] == {"name": "sum", "datatype": "INT64", "shape": [2], "data": [3, 2**40 + 3]}
    assert by_name["twice"] == {"name": "twice", "datatype": "FP32", "shape": [2, 2], "data": [1.0, 2.0, 3.0, 4.0]}
    status, told = server.ask("POST", "/predict", [{"a": [1, 2], "b": [0.5]}, {"a": [3, 4], "b": [0.5, 1.0]}])
    assert [row["outputs"] for row in told["predictions"]] == [
        {"sum": 3, "twice": [1.0]},
        {"sum": 7, "twice": [1.0, 2.0]},
    ]


@pytest.mark.parametrize("shape", [[], [2], [2, 3]])
def test_texts_come_and_go(make, shape):
    """As values, as lists and as lists of lists, in JSON and in bytes."""
    server = make()
    words = Tensors(
        inputs=(TensorInput(name="words", datatype="BYTES", shape=tuple(shape)),),
        outputs=(TensorOutput(name="same", datatype="BYTES", shape=tuple(shape)),),
    )
    echo = graphs.graph(
        [graphs.node("Identity", "words", "same")],
        [("words", TensorProto.STRING, ["n", *shape])],
        [("same", TensorProto.STRING, ["n", *shape])],
    )
    signature = Signature(task="tensors", inputs=(), features=(), tensors=words)
    server.route(pictures.route("t1", pictures.bundle(server.blobs, echo, signature)))
    _, told = server.ask("GET", f"/v2/models/{models.SYSTEM}")
    assert told["outputs"][1] == {"name": "same", "datatype": "BYTES", "shape": [-1] * (1 + len(shape))}
    count = 2 * int(np.prod(shape))
    texts = [f"é{place}" for place in range(count)]
    asked = {"inputs": [{"name": "words", "datatype": "BYTES", "shape": [2, *shape], "data": texts}]}
    status, told = server.ask("POST", INFER, asked)
    assert (status, told["outputs"][1]) == (
        200, {"name": "same", "datatype": "BYTES", "shape": [2, *shape], "data": texts},
    )  # fmt: skip
    with server.client() as client:
        found = client.infer({"words": np.array(texts, object).reshape(2, *shape)}).outputs["same"]
    assert np.asarray(found).shape == (2, *shape)
    assert [*np.asarray(found).ravel()] == texts
    rows = np.array(texts, object).reshape(2, *shape).tolist()
    status, told = server.ask("POST", "/predict", [{"words": one} for one in rows])
    assert [row["outputs"]["same"] for row in told["predictions"]] == rows


def test_the_best_classes_are_answered_by_name(make):
    server = make()
    server.route(pictures.route("p1", pictures.colours(server.blobs, top=2)))
    _, told = server.ask("POST", "/predict", PNG, {"content-type": "image/png"})
    (row,) = told["predictions"]
    order = np.argsort(chances())[::-1]
    names = [["red", "green", "blue"][place] for place in order]
    assert row["label"] == names[0]
    assert row["score"] == pytest.approx(max(chances()), abs=1e-4)
    assert row["outputs"]["top_labels"] == names[:2]
    assert np.allclose(row["outputs"]["top_scores"], sorted(chances())[:0:-1], atol=1e-4)
    with server.client() as client:
        client.settle()
    scores, _ = server.reader().scores(None, None, "p1")
    assert np.allclose(scores, [chances()], atol=1e-4)  # all of them are kept
