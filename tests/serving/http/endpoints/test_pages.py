"""The document of all addresses says what the server does, and the page loads nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import http.client
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.serving import models, pictures
from tests.serving.conftest import Make
from tests.serving.running import Running

from trimtab.records.model import Column, Feature

FIRST_VERSION = "model-r1"
OF_MODEL = {"", "/ready", "/stats", "/infer", "/batch"}
ADDRESSES = {
    "/": "get", "/try": "get", "/openapi.json": "get", "/metrics": "get", "/trimtab/status": "get",
    "/predict": "post", "/feedback": "post",
    "/v2": "get", "/v2/health/live": "get", "/v2/health/ready": "get", "/v2/models/stats": "get",
    "/v2/repository/index": "post",
    "/v2/repository/models/flights/load": "post", "/v2/repository/models/flights/unload": "post",
}  # fmt: skip


def document(server: Running, path: str = "/openapi.json", token: str = "") -> dict[str, Any]:
    status, told = server.ask("GET", path, headers={"authorization": f"Bearer {token}"} if token else {})
    assert status == 200
    return told


def page(server: Running, path: str) -> tuple[http.client.HTTPResponse, str]:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    try:
        connection.request("GET", path, headers={"connection": "close"})
        response = connection.getresponse()
        return response, response.read().decode()
    finally:
        connection.close()


def test_every_address_is_listed_and_answers(shared: Running) -> None:
    told = document(shared)
    listed = {path: method for path, operations in told["paths"].items() for method in operations}
    versioned = {f"/v2/models/flights/versions/{{version}}{end}" for end in OF_MODEL}
    assert listed.keys() == ADDRESSES.keys() | {f"/v2/models/flights{end}" for end in OF_MODEL} | versioned
    assert {path: listed[path] for path in ADDRESSES} == ADDRESSES
    for path, operations in told["paths"].items():
        address = path.replace("{version}", FIRST_VERSION)
        if path in ("/", "/try", "/metrics"):
            assert page(shared, address)[0].status == 200
        elif "get" in operations:
            status, _ = shared.ask("GET", address)
            assert str(status) in operations["get"]["responses"]
        else:
            status, _ = shared.ask("POST", address, b"{")
            assert str(status) in operations["post"]["responses"]
            assert status in (400, 403, 415)


def test_the_rows_of_the_live_model_are_described(make: Make) -> None:
    server = make()
    before = document(server)["components"]["schemas"]["Row"]
    assert before == {"type": "object", "description": "one value for each column of the model"}
    inputs = (*models.INPUTS, Column(name="holiday", kind="boolean"))
    features = (*models.FEATURES, Feature(name="holiday", kind="category", vocabulary=("false", "true")))
    made = models.bundle(
        server.blobs, models.sigmoid([0.001, 0.5, 0.1]), models.signature("binary_classification", inputs, features)
    )
    server.route(models.route("r1", made))
    told = document(server)["components"]["schemas"]
    assert told["Row"]["required"] == ["distance", "carrier", "holiday"]
    assert told["Row"]["properties"]["distance"] == {"type": ["number", "null"]}
    assert told["Row"]["properties"]["carrier"]["examples"] == ["AA", "DL", "UA"]
    assert told["Row"]["properties"]["holiday"] == {"type": ["boolean", "null"]}
    assert told["Prediction"]["properties"]["label"] == {"enum": ["on time", "late"]}
    assert told["Feedback"]["properties"]["truth"]["enum"][:2] == ["on time", "late"]
    for request, path in (("PredictRequest", "/predict"), ("InferRequest", "/v2/models/flights/infer")):
        (example,) = told[request]["examples"]
        status, answer = server.ask("POST", path, example)
        assert status == 200, answer


def test_a_model_of_pictures_takes_files(make: Make) -> None:
    server = make()
    server.route(pictures.route("r1", pictures.colours(server.blobs)))
    told = document(server)
    (name,) = told["components"]["schemas"]["Row"]["properties"]
    file, tensor = told["components"]["schemas"]["Row"]["properties"][name]["anyOf"]
    assert (file["contentEncoding"], file["contentMediaType"]) == ("base64", "image/*")
    assert tensor["type"] == "array"
    assert "image/*" in told["paths"]["/predict"]["post"]["requestBody"]["content"]
    row = {name: base64.b64encode(pictures.PNG).decode()}
    assert server.ask("POST", "/predict", [row])[0] == 200


def test_tokens_are_asked_for_where_they_are_needed(make: Make) -> None:
    server = make("sesame", token_digest=hashlib.sha256(b"sesame").hexdigest())
    assert server.ask("GET", "/openapi.json")[0] == 401
    told = document(server, token="sesame")
    assert told["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
    for path, operations in told["paths"].items():
        for method, operation in operations.items():
            address = path.replace("{version}", FIRST_VERSION)
            if operation["security"]:
                assert operation["security"] == [{"token": []}]
                assert "A token needs the scope" in operation["description"]
                assert server.ask(method.upper(), address, b"" if method == "post" else None)[0] == 401
            else:
                assert path in ("/", "/try", "/v2/health/live", "/v2/health/ready")
                assert page(server, address)[0].status in (200, 503)


@pytest.mark.parametrize("path", ["/", "/try"])
def test_the_page_loads_nothing_from_elsewhere(shared: Running, path: str) -> None:
    response, text = page(shared, path)
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert not re.search(r"(src|href|url|import)\s*[=(]\s*[\"']?(https?:)?//", text)
    assert "@import" not in text
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert len(text) < 40_000
