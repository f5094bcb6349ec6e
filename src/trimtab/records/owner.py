"""The token of whoever owns the state folder: how the loop asks its own server, whatever tokens others have."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from trimtab.records.durable import write_atomically


def owner_token(path: Path) -> str | None:
    """The token; None where there is none, or where others may read it."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if stat.S_IMODE(found.st_mode) & 0o077:
                return None
            return file.read(200).decode("ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def ensure_owner_token(path: Path) -> str:
    """The token, made anew where there is none or where others might have read it. For the one process that holds the
    server's lock. It stays the same over restarts; delete the file and restart the server to change it."""
    token = owner_token(path)
    if token is None:
        token = f"trimtab_{secrets.token_urlsafe(32)}"
        write_atomically(path, token.encode(), mode=0o600)
    return token
