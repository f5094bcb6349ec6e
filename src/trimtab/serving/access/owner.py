"""The token of whoever owns the state folder: how the loop asks its own server, whatever tokens others have."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from trimtab.records.durable import write_atomically
from trimtab.serving.access.tokens import digest_of, fresh_token


def renew_owner_token(path: Path) -> bytes:
    """Writes a new token where only the owner may read it, and returns its digest. Each start of a server does so: what
    leaked with an old copy of the folder is worth nothing."""
    token = fresh_token()
    write_atomically(path, token.encode(), mode=0o600)
    return digest_of(token)


def owner_token(path: Path) -> str | None:
    """The token of the server that runs; None where there is none, or where others may read it."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if stat.S_IMODE(found.st_mode) & 0o077:
                return None
            return file.read(200).decode("ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
