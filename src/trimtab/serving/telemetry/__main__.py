"""`python -m trimtab.serving.telemetry FOLDER`: compacts sealed segments, in a process that lives no longer than that.

A server starts it now and then: Arrow would take a third of the server's own memory.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_NICE = 10  # what is answered meanwhile comes first


def main() -> int:
    """Compacts; 1 when the disk did not take the files, or a segment is damaged."""
    os.nice(_NICE)
    from trimtab.serving.telemetry.maintenance.compaction import (
        compact,  # heavy: after the process has made room for others
    )

    said: list[str] = []
    try:
        done = compact(Path(sys.argv[1]), told=said.append)
    except OSError as error:
        said.append(f"telemetry cannot be compacted: {error}")
        done = []
    for line in said:
        sys.stderr.write(f"{line}\n")
    sys.stdout.write(f"{len(done)}\n")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
