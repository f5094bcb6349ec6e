"""`python -m trimtab.serving --state DIR`: the prediction server as a process of its own, or several."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.errors import TrimtabError

if TYPE_CHECKING:
    from trimtab.serving.processes.seat import Seat  # only for types


def main() -> int:
    """Parses the command line and serves; 0 after an orderly end, 1 when the server could not start."""
    parser = argparse.ArgumentParser(prog="python -m trimtab.serving", description=__doc__)
    parser.add_argument(
        "--state", type=Path, action="append", required=True, help="a system's state folder; several for several"
    )
    parser.add_argument("--parent", type=int, default=0, help="end when this process, the parent, has ended")
    parser.add_argument("--seat", help=argparse.SUPPRESS)  # what the supervisor hands to one of its processes
    asked = parser.parse_args()
    try:
        return _serve(asked.state, asked.parent, asked.seat)
    except TrimtabError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


def _serve(roots: Sequence[Path], parent: int, told: str | None) -> int:
    if told is not None:
        import msgspec

        from trimtab.serving.processes.seat import Seat

        seat = msgspec.json.decode(told, type=Seat)
        _log(f"process {seat.slot}: ")
        return _become(roots, parent, seat)
    _log("")
    from trimtab.records.layout import Layout
    from trimtab.serving.config import read_configs
    from trimtab.serving.processes.cores import cores

    configs = read_configs([Layout(root) for root in roots])
    config = next(iter(configs.values()))
    count = config.processes or cores()
    if count == 1:
        return _become(roots, parent, None)
    from trimtab.serving.processes.supervisor import Supervisor

    systems = [one.system for one in configs.values()]
    states = [word for layout in configs for word in ("--state", str(layout.root))]
    command = [sys.executable, "-m", "trimtab.serving", *states, "--parent", str(os.getpid()), "--seat"]
    return Supervisor(config, tuple(configs), systems, count, parent).run(lambda seat: [*command, seat])


def _become(roots: Sequence[Path], parent: int, seat: Seat | None) -> int:
    from trimtab.serving.server import serve  # heavy: --help and the supervisor do without it

    serve(roots, parent, seat)
    return 0


def _log(who: str) -> None:
    shape = f"%(asctime)s %(levelname)s {who}%(message)s"
    logging.basicConfig(level=logging.INFO, format=shape, stream=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
