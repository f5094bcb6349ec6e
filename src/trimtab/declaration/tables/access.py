"""The keys of `[serve]` about who may ask: connections, certificate, pages of others."""

from __future__ import annotations

import re
from typing import Any

from trimtab.declaration.paths import check_inside
from trimtab.declaration.reading import Table

_ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?", re.ASCII)


def read_access(table: Table) -> dict[str, Any]:
    """What is declared, by the names of `ServeSpec`; None for what is missing or wrong (the problems are recorded)."""
    found: dict[str, Any] = {
        "max_connections": table.integer("max_connections", 1),
        "max_connections_per_address": table.integer("max_connections_per_address", 1),
        "max_held": table.size("max_held", '"256 MiB"'),
        "compress_over": table.size("compress_over", '"32 KiB"'),
        "cors": table.texts("cors", '["https://app.example.com"]'),
        "tls_cert": table.text("tls_cert", '"certificate.pem"'),
        "tls_key": table.text("tls_key", '"key.pem"'),
    }
    for position, origin in enumerate(found["cors"] or ()):
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            told = f'"{origin}" is not the origin of pages'
            table.problems.add(
                table.key("cors", position), told, hint='write "https://app.example.com", or "*" for all'
            )
    for key, other in (("tls_cert", "tls_key"), ("tls_key", "tls_cert")):
        if found[key] is None:
            continue
        check_inside(table.problems, table.key(key), found[key])
        if not table.has(other):
            table.problems.add(table.key(key), f"{key} needs {other} beside it", hint=f'write {other} = "..." too')
    return found
