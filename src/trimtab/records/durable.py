"""Writing files so that they survive a killed process and a power cut: whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path


def write_atomically(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Put `data` at `path`: a reader sees the old content or the new, never a part; on disk when it returns.

    `mode` (lowered by the umask) is that of the file; give 0o600 for what only its owner may read. The folder is made
    when it is missing. Raises OSError as the file system gives it; the old content then stands.
    """
    make_folder(path.parent)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def flush_file(path: Path) -> None:
    """Wait until the content of `path` is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(path: Path) -> None:
    """Wait until the names in folder `path` are on disk. Where a folder cannot be opened (Windows) there is nothing to
    wait for."""
    if os.name == "nt":
        return
    flush_file(path)


def make_folder(path: Path) -> None:
    """Make folder `path` and those above it, and wait until the new names are on disk."""
    missing = [folder for folder in (path, *path.parents) if not folder.is_dir()]
    if missing:
        path.mkdir(parents=True, exist_ok=True)
        for folder in missing:
            flush_folder(folder.parent)
