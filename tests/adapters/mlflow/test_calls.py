"""What a server's answers mean, and that no key is told: against an HTTP server that answers as it is told to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from trimtab.adapters.mlflow.calls import TOKEN, Calls, NotThere
from trimtab.errors import TemporaryError
from trimtab.experiments.port import TrackerError

SECRET = "a-secret-of-the-environment"
ANSWERS: dict[str, tuple[int, bytes]] = {
    "/api/2.0/mlflow/busy": (503, b"<html>come back</html>"),
    "/api/2.0/mlflow/many": (429, b""),
    "/api/2.0/mlflow/page": (200, b"<html>a page for people</html>"),
    "/api/2.0/mlflow/gone": (404, b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such run"}'),
    "/api/2.0/mlflow/bad": (400, b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "not like that"}'),
    "/api/2.0/mlflow/odd": (500, b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "never like that"}'),
    "/api/2.0/mlflow/keys": (403, b"no"),
    "/api/2.0/mlflow/moved": (302, b""),
    "/api/2.0/mlflow/good": (200, b'{"runs": [1, 2]}'),
}


class _Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status, body = ANSWERS[self.path.partition("?")[0]]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answering)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("path", "kind", "told"),
    [
        ("busy", TemporaryError, "in trouble"),
        ("many", TemporaryError, "429"),
        ("page", TrackerError, "with no JSON"),
        ("gone", NotThere, "no such run"),
        ("bad", TrackerError, "not like that"),
        ("odd", TrackerError, "never like that"),
        ("keys", TrackerError, "refuses these keys"),
        ("moved", TrackerError, "302"),
    ],
)
def test_answers(url: str, path: str, kind: type[Exception], told: str) -> None:
    with Calls(url, {TOKEN: SECRET}) as calls:
        with pytest.raises(kind, match=told) as raised:
            calls.get(path)
        assert SECRET not in str(raised.value)
        assert calls.get("good") == {"runs": [1, 2]}  # the connection is as good as before
        assert calls.find("gone") is None
