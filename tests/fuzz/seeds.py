"""Where fuzzing begins: real requests, and shapes that were once trouble somewhere."""

from __future__ import annotations

import base64
import gzip
import zlib

import orjson
from tests.fuzz.server import ADDRESSES, MODEL, as_input
from tests.fuzz.wire import MARK, MARKED
from tests.serving import pictures

INFER = f"{MODEL}/infer"
_ROW = {"distance": 1000.5, "carrier": "DL"}
_TENSOR = {"name": "input", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}
_COLUMNS = [
    {"name": "distance", "datatype": "FP64", "shape": [2], "data": [1.0, None]},
    {"name": "carrier", "datatype": "BYTES", "shape": [2, 1], "data": ["AA", "ZZ"]},
]
_RAW = bytes(8) + b"\x02\0\0\0AA"
_IN_BYTES = [
    {"name": "distance", "datatype": "FP64", "shape": [1], "parameters": {"binary_data_size": 8}},
    {"name": "carrier", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 6}},
]

BODIES: dict[str, list[bytes]] = {
    "/predict": [
        orjson.dumps([_ROW]),
        orjson.dumps({"rows": [_ROW, _ROW], "ids": ["a", "b"], "time": "2026-01-01T00:00:00Z"}),
        orjson.dumps({"rows": [_ROW], "time": ["2026-01-01T00:00:00+01:00"], "explain": True}),
        b'[{"distance":null,"carrier":null}]',
        b"[{}]",
        b"[]",
        b"{",
        b'{"rows":1e999}',
        b'"\\ud800"',
    ],
    INFER: [
        orjson.dumps({"inputs": [_TENSOR]}),
        orjson.dumps({"id": "x", "inputs": [_TENSOR], "parameters": {"prediction_ids": ["p"], "timeout": 1000}}),
        orjson.dumps({"inputs": _COLUMNS, "outputs": [{"name": "score", "parameters": {"binary_data": True}}]}),
        orjson.dumps({"inputs": [_TENSOR], "parameters": {"binary_data_output": True, "explain": True}}),
        orjson.dumps({"inputs": [_TENSOR], "parameters": {"sticky_key": "k", "time": "2026-01-01T00:00:00Z"}}),
        orjson.dumps({"inputs": [_TENSOR], "outputs": [{"name": "label", "parameters": []}]}),
    ],
    "/feedback": [
        orjson.dumps({"id": "a", "truth": 1}),
        orjson.dumps([{"id": "a", "truth": "late", "time": "2026-01-01T00:00:00Z"}, {"id": "b", "truth": 0.0}]),
        orjson.dumps({"items": [{"id": "a", "truth": True}]}),
    ],
    "/v2/repository/index": [b"", b'{"ready":true}'],
}


def inputs() -> list[bytes]:
    """For the server with a model of columns."""
    told = orjson.dumps({"inputs": _IN_BYTES, "outputs": [{"name": "label", "parameters": {"binary_data": True}}]})
    only = orjson.dumps({"inputs": [{**_TENSOR, "parameters": {"binary_data_size": 8}, "data": None}]})
    found = [as_input(path, body) for path, bodies in BODIES.items() for body in bodies]
    found += [as_input(path, BODIES["/predict"][0]) for path in ADDRESSES]
    found += [
        as_input(INFER, told + _RAW, len(told)),
        as_input(INFER, only + bytes(8), len(only)),
        as_input(INFER, bytes(16), 0),
        as_input("/predict", gzip.compress(BODIES["/predict"][0]), flags=128),
    ]
    return found


def picture_inputs() -> list[bytes]:
    """For the server with a model of images."""
    file = pictures.media.file_of(pictures.media.picture(8, 8))
    text = base64.b64encode(file).decode()
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 3, 2, 2]}
    tell = {"name": "image", "datatype": "BYTES", "shape": [1]}
    raw = pictures.packed(file)
    in_bytes = orjson.dumps({"inputs": [pictures.in_bytes("image", "BYTES", [1], raw)]})
    pixels = orjson.dumps({"inputs": [pictures.in_bytes("image", "UINT8", [1, 3, 2, 2], bytes(12))]})
    return [
        as_input("/predict", file, flags=1),
        as_input("/predict", file, flags=2),
        as_input("/predict", orjson.dumps({"rows": [{"image": text}]})),
        as_input("/predict", orjson.dumps([{"image": [[[0, 1], [2, 3]]] * 3}])),
        as_input(INFER, orjson.dumps({"inputs": [tell | {"data": [text]}]})),
        as_input(INFER, orjson.dumps({"inputs": [tensor | {"data": list(range(12))}]})),
        as_input(INFER, in_bytes + raw, len(in_bytes)),
        as_input(INFER, pixels + bytes(12), len(pixels)),
        as_input(INFER, file, 0),
    ]


def requests() -> list[bytes]:
    """Bytes of connections, each behind the byte that says how they are cut."""
    body = BODIES["/predict"][0]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:5], body[5:]))
    got = [b"POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n%b0\r\nx: y\r\n\r\n" % chunks]
    got += [_post(path, one) for path, bodies in BODIES.items() for one in bodies]
    got += [
        _post("/predict", gzip.compress(body), b"content-encoding: gzip", b"accept-encoding: gzip"),
        _post("/predict", zlib.compress(body), b"content-encoding: deflate"),
        _post("/predict", body, b"authorization: Bearer x", b"connection: close"),
        _post("/predict", body, b"expect: 100-continue", b"x-request-timeout-ms: 100"),
        _post("/predict?explain=true", body, b"origin: http://a.b"),
        b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /%70redict?a=b#c HTTP/1.1\r\nhost: [::1]:8080\r\n\r\n",
        b"HEAD /v2 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
        b"OPTIONS /predict HTTP/1.1\r\nhost: x\r\norigin: http://a.b\r\naccess-control-request-method: POST\r\n\r\n",
        b"GET http://x/v2 HTTP/1.1\r\nhost: x\r\n\r\nGET /v2 HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n" + _post("/x", b""),
        b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ]
    got += [got[0] + got[1] + got[2], got[4] * 5 + got[0], b"".join(got[-9:-3])]
    same = (*got, got[1] * 3, _post("/predict", body, b"authorization: Bearer x"))
    again = [MARK.join((one, one, got[2], one)) for one in same]
    return [bytes([place % 7]) + one for place, one in enumerate(got)] + [bytes([MARKED]) + one for one in again]


def _post(path: str, body: bytes, *lines: bytes) -> bytes:
    told = b"".join(b"%b\r\n" % line for line in lines)
    return b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n%b\r\n%b" % (path.encode(), len(body), told, body)


_LINES = """
content-length: 5|transfer-encoding: chunked|host: x|connection: close|connection: keep-alive|upgrade: h2c
connection: upgrade|expect: 100-continue|content-encoding: gzip|accept-encoding: gzip|origin: http://a.b|origin: null
"""
_WORDS = r"""
HTTP/1.0 HTTP/1.1 HTTP/2.0 GET POST HEAD OPTIONS CONNECT * http://a/ %2f ? # ffffffff -1 99999999999999999999 1e999
null true [ ] { } " , : \u0000 \ud800 "shape":[-1,2] "shape":[1e9] "data":[[1,2],[3]] "parameters":[] "outputs":[{}]
"binary_data_size":-1 "binary_data":true "datatype":"BYTES" "datatype":"BF16" "name":"input" "rows" "ids" "explain"
"""
_BYTES = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b"\x7f", b"0\r\n\r\n", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f",
    MARK, MARK, b"\xff\xfe", b"\xed\xa0\x80",
    b"\x1f\x8b\x08", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF", b"%PDF",
]  # fmt: skip
WORDS = [
    *(line.encode() + b"\r\n" for line in _LINES.strip().replace("\n", "|").split("|")),
    *(word.encode() for word in _WORDS.split()),
    *_BYTES,
]
