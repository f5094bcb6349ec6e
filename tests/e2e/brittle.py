"""`python brittle.py COUNT VERB ...`: the command line, in a process that kills itself at its COUNTth durable step.

A step is counted just before and just after everything that leaves a trace: facts written, rows collected, blobs and
names of models kept, routes put in force. So a kill falls exactly between two of them, where a random instant hardly
ever does.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from trimtab.cli.main import main
from trimtab.data.store.versions import DatasetStore
from trimtab.deployment.local import LocalServer
from trimtab.records.blobs import Blobs
from trimtab.records.ledger import Ledger

STEPS: tuple[tuple[type, str], ...] = (
    (Ledger, "append_all"),
    (DatasetStore, "collect"),
    (Blobs, "put"),
    (Blobs, "set_ref"),
    (LocalServer, "apply"),
)


def brittle(count: int) -> None:
    """Have this process killed at that step."""
    left = count

    def crossed() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def inner(*args: Any, **kwargs: Any) -> Any:
            crossed()
            result = method(*args, **kwargs)
            crossed()
            return result

        return inner

    for owner, name in STEPS:
        setattr(owner, name, counted(getattr(owner, name)))


if __name__ == "__main__":
    brittle(int(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
