"""Memory that the processes of one server share."""

from __future__ import annotations

import os
import tempfile


def shared_memory(name: str, size: int) -> int:
    """The descriptor of a file without a name, of `size` bytes that are all 0: child processes may inherit it. What is
    not written to takes no memory. `name` is what the system's tools show."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create(name)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor
