"""What a service manager is told: the datagrams of sd_notify(3), sent where NOTIFY_SOCKET names a socket."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress


def notify(*states: str) -> None:
    """Sends states such as `READY=1`. Does nothing where no manager listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        sock.sendall("\n".join(states).encode())


def reloading() -> None:
    """Settings are being read again; `READY=1` is to follow."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
