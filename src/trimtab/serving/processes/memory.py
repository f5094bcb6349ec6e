"""Memory that was let go, given back to the machine."""

from __future__ import annotations

import gc
from contextlib import suppress


def give_back() -> None:
    """Collects what is in no use, such as models that were replaced, and hands the pages that this leaves free back to
    the machine; glibc alone keeps them for later, so that a process stays as large as it ever was for a moment."""
    import ctypes  # loaded by numpy anyway

    gc.collect()
    with suppress(AttributeError, OSError):  # other C libraries have no such call
        ctypes.CDLL(None).malloc_trim(0)
