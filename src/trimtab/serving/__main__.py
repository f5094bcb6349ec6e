"""`python -m trimtab.serving --state DIR`: the prediction server as a process of its own."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from trimtab.errors import TrimtabError


def main() -> int:
    """Parses the command line and serves; 0 after an orderly end, 1 when the server could not start."""
    parser = argparse.ArgumentParser(prog="python -m trimtab.serving", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="the system's state folder")
    parser.add_argument("--parent", type=int, default=0, help="end when this process, the parent, has ended")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    from trimtab.serving.server import serve  # heavy: --help need not wait for it

    try:
        serve(asked.state, asked.parent)
    except TrimtabError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
