"""Both clients over TLS: what they trust, and large bodies through it."""

from __future__ import annotations

import socket
from datetime import timedelta
from pathlib import Path

import pytest
from tests.serving import models
from tests.serving.access.certificates import Authority
from tests.serving.batches import frame, scores
from tests.serving.client.test_clients import MATRIX, ROWS, Waiting
from tests.serving.conftest import Make

from trimtab import Client
from trimtab.errors import PermanentError


def test_a_server_is_verified_and_asked(make: Make, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    files = tmp_path / "server.pem", tmp_path / "server.key"
    authority.issue(*files)
    server = make(tls_cert=str(files[0]), tls_key=str(files[1]))
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([0.001, 0.5]))))
    given = frame(3000)
    for kind in (Client, Waiting):
        with kind(server.url, ca=authority.path) as client:
            for _ in range(3):
                assert len(client.predict(ROWS)) == 3
            assert len(client.predict(MATRIX)) == 3
            found = client.batch(given, ids="flight", times="at")
            assert found["score"].to_list() == pytest.approx(scores(given), abs=1e-6)
        with kind(server.url) as stranger, pytest.raises(PermanentError, match="not trusted") as caught:
            stranger.predict(ROWS)
        assert "`ca`" in caught.value.hint
    with pytest.raises(PermanentError, match="no certificates can be read there"):
        Client(server.url, ca=tmp_path / "none.pem")


@pytest.mark.parametrize(
    ("start", "end", "host", "hint"),
    [
        (-9, -1, "localhost", "let the server show a new one"),
        (1, 9, "localhost", "look at this machine's clock"),
        (-1, 9, "localhost.localdomain", "ask the server by a name that its certificate holds"),
    ],
)
def test_what_is_wrong_with_a_certificate_has_its_own_mend(
    make: Make, tmp_path: Path, start: int, end: int, host: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path / "tls")
    files = tmp_path / "server.pem", tmp_path / "server.key"
    authority.issue(*files, start=timedelta(days=start), end=timedelta(days=end))
    server = make(tls_cert=str(files[0]), tls_key=str(files[1]))
    port = int(server.url.rpartition(":")[2])
    connect = socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda address, *rest: connect(("127.0.0.1", port), *rest))
    with Client(f"https://{host}:{port}", ca=authority.path) as client, pytest.raises(PermanentError) as caught:
        client.predict(ROWS)
    assert "not trusted" in caught.value.message
    assert hint in caught.value.hint
