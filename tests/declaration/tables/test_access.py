"""The keys of `[serve]` about who may ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from trimtab.declaration.problems import DeclarationErrors
from trimtab.serving.config import server_config


def test_what_is_declared_reaches_the_server(loading):
    written = 'port = 8080\nmax_connections = 9\nmax_connections_per_address = 3\nmax_held = "1 GiB"'
    written += '\ncompress_over = "1 KiB"\ncors = ["https://a.example", "http://localhost:3000"]'
    written += '\ntls_cert = "tls/chain.pem"\ntls_key = "/etc/key.pem"'
    system = loading(("port = 8080", written))
    config = server_config(system.serve, "x", {}, None, Path(system.folder))
    assert (config.max_connections, config.max_connections_per_address) == (9, 3)
    assert (config.max_held, config.compress_over) == (2**30, 1024)
    assert config.cors == ("https://a.example", "http://localhost:3000")
    assert config.tls_cert == f"{system.folder}/tls/chain.pem"
    assert config.tls_key == "/etc/key.pem"
    assert server_config(loading().serve, "x", {}).tls_cert == ""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('tls_cert = "a.pem"', "tls_cert needs tls_key beside it"),
        ('tls_key = "a.pem"', "tls_key needs tls_cert beside it"),
        ('tls_cert = "../a.pem"\ntls_key = "b.pem"', "leaves the folder"),
        ('cors = ["app.example"]', '"app.example" is not the origin of pages'),
        ('cors = ["https://app.example/path"]', "is not the origin of pages"),
        ('cors = ["https://*.example"]', "is not the origin of pages"),
        ('cors = ["https://a.example", "https://a.example"]', "is named twice"),
        ("cors = []", "expected a text or a list of texts"),
        ("max_connections = 0", "expected a whole number from 1"),
        ('max_held = "0 B"', "expected a size above zero"),
    ],
)
def test_a_mistake_is_named(loading, line, said):
    with pytest.raises(DeclarationErrors) as caught:
        loading(("port = 8080", f"port = 8080\n{line}"))
    assert said in str(caught.value)
