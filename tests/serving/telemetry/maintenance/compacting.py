"""Run as a process: compacts a folder and kills itself after the step that is named."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from trimtab.serving.telemetry.maintenance.compaction import compact


def main() -> None:
    """`python compacting.py FOLDER STEP`: the step after which it dies, or one that there is not."""
    folder, last = Path(sys.argv[1]), sys.argv[2]

    def step(name: str) -> None:
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()
        if name == last:
            os.kill(os.getpid(), signal.SIGKILL)

    compact(folder, step=step)


main()
