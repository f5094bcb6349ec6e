"""`python -m trimtab.serving.batch`: reads one batch, as the server that starts it says. Not for people."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    from trimtab.serving.batch.reader import run

    run(sys.stdin.buffer, sys.stdout.buffer)
    os._exit(0)  # at once: within its limit of memory a decoder's threads may not find room to end in order
