"""`python -m trimtab.serving --state DIR`: the prediction server as a process of its own, or several."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.errors import TrimtabError

if TYPE_CHECKING:
    from trimtab.serving.processes.seat import Seat  # only for types

# the smallest graph there is: [1] -> Identity -> [1], made with onnx.helper, in ONNX's own form (protobuf)
_NOTHING = bytes.fromhex(
    "08093a370a100a016112016222084964656e7469747912016d5a0f0a0161120a0a08080112040a020801620f0a0162120a0a"
    "08080112040a02080142040a001011"
)


def main() -> int:
    """Parses the command line and serves; 0 after an orderly end, 1 when the server could not start."""
    parser = argparse.ArgumentParser(prog="python -m trimtab.serving", description=__doc__)
    parser.add_argument(
        "--state", type=Path, action="append", required=True, help="a system's state folder; several for several"
    )
    parser.add_argument("--parent", type=int, default=0, help="end when this process, the parent, has ended")
    asked = parser.parse_args()
    return _told(lambda: _serve(asked.state, asked.parent))


def _serve(roots: Sequence[Path], parent: int) -> int:
    _log("")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # to read settings again: they have not been read yet
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
    supervisor = Supervisor(config, tuple(configs), systems, count, parent)
    if sys.platform == "linux":  # elsewhere a copy of a process that has loaded much is not sure to work
        preload()
    above = os.getpid()

    def become(seat: Seat) -> int:
        _log(f"process {seat.slot}: ")
        return _told(lambda: _become([layout.root for layout in configs], above, seat))

    return supervisor.run(become)


def preload() -> None:
    """Imports what every process of a server needs, for its copies to share: what has been imported before a fork is in
    memory once. Starts no threads."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # those of a library do not come along with a copy
    import uvloop  # noqa: F401 - see above

    import trimtab.serving.server  # noqa: F401
    from trimtab.inference.session import open_session

    open_session(_NOTHING)  # what ONNX Runtime makes once, its tables of operators, is there from here on
    gc.collect()
    gc.freeze()  # the collector writes to what it looks at, and what is written to is shared no more


def _become(roots: Sequence[Path], parent: int, seat: Seat | None) -> int:
    from trimtab.serving.server import serve  # heavy: --help does without it

    serve(roots, parent, seat)
    return 0


def _told(work: Callable[[], int]) -> int:
    try:
        return work()
    except TrimtabError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except OSError as error:  # a state folder that may not be written to, mostly
        sys.stderr.write(f"error: {error.filename or 'the server'}: {error.strerror or error}\n")
        return 1


def _log(who: str) -> None:
    shape = f"%(asctime)s %(levelname)s {who}%(message)s"
    logging.basicConfig(level=logging.INFO, format=shape, stream=sys.stderr, force=True)


if __name__ == "__main__":
    sys.exit(main())
