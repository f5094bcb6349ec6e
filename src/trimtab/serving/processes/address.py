"""Where a server listens, how others find it, and the lock that keeps a second one off its state folder."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from trimtab.errors import PermanentError
from trimtab.records.durable import write_atomically
from trimtab.records.layout import Layout
from trimtab.records.server import ServerConfig, ServerInfo

_HINTS = {
    errno.EADDRINUSE: "another program listens there: declare another `port` in [serve]",
    errno.EADDRNOTAVAIL: "`host` in [serve] is an address of this machine",
    errno.EACCES: "ports below 1024 are the system's: declare another `port` in [serve]",
}


def hold(layout: Layout) -> int:
    """The lock of a state folder, held for as long as the descriptor is open in any process. Raises PermanentError when
    another server has it."""
    layout.serve.mkdir(parents=True, exist_ok=True)
    fd = os.open(layout.server_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        info = read_info(layout.server)
        told = f" (process {info.pid})" if info is not None else ""
        raise PermanentError(f"a server{told} already runs on {layout.root}") from None
    return fd


def read_info(path: Path) -> ServerInfo | None:
    """Where a server said that it listens; None where none has."""
    with suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(path.read_bytes(), type=ServerInfo)
    return None


def announce(layouts: Iterable[Layout], info: ServerInfo) -> None:
    """Tells, in each state folder, where its server listens."""
    for layout in layouts:
        write_atomically(layout.server, msgspec.json.encode(info))


def bind(config: ServerConfig, before: int) -> socket.socket:
    """A socket at the configured address; for port 0 the port the server had `before` where it is free, so that
    callers find it again. Raises PermanentError when the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    ports = [before, 0] if config.port == 0 and before else [config.port]
    for port in ports:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((config.host, port))
        except OSError as error:
            sock.close()
            if port == ports[-1]:
                told = f"cannot listen at {config.host}:{port}: {error.strerror or error}"
                raise PermanentError(told, hint=_HINTS.get(error.errno or 0, "")) from error
        else:
            sock.setblocking(False)
            return sock
    raise AssertionError("unreachable")
