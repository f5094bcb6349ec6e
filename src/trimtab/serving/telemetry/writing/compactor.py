"""Has sealed segments compacted, by a process of its own that comes and goes."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

from trimtab.serving.telemetry.segments import SUFFIX, read_seal

_LOG = logging.getLogger("trimtab.serving")
_AGAIN = 600.0  # seconds until it is tried again after it failed


class Compactor:
    """Belongs to a server; `tend` is called about once a second and costs nothing while nothing was sealed. Where
    several servers share a folder, only one of their processes works; the others find nothing to do."""

    def __init__(self, folder: Path, rest: float) -> None:
        """`rest`: seconds for which a sealed segment is left alone."""
        self._folder = folder
        self._rest = rest
        self._process: subprocess.Popen[str] | None = None
        self._not_before = 0.0
        self._looked = -1

    def tend(self) -> None:
        """Starts the process when a segment is due, and hears what became of it."""
        if self._process is not None:
            if self._process.poll() is None:
                return
            self._heard(self._process)
            self._process = None
        now = time.monotonic()
        if now >= self._not_before and self._is_due():
            environment = os.environ | {"POLARS_MAX_THREADS": "1"}
            command = [sys.executable, "-m", "trimtab.serving.telemetry", str(self._folder)]
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )

    def _is_due(self) -> bool:
        """Whether a segment was sealed long enough ago; the next look is when the oldest of the others will be."""
        next_ = None
        wall = time.time()
        for path in self._folder.glob(f"*{SUFFIX}"):
            try:
                if read_seal(path) is None:
                    continue
                age = wall - path.stat().st_mtime
            except FileNotFoundError:  # compacted meanwhile
                continue
            if age >= self._rest:
                return True
            next_ = self._rest - age if next_ is None else min(next_, self._rest - age)
        self._not_before = time.monotonic() + min(10.0, self._rest if next_ is None else next_)
        return False

    def _heard(self, process: subprocess.Popen[str]) -> None:
        out, err = process.communicate()
        for line in err.splitlines():
            _LOG.warning("%s", line)
        if process.returncode:
            self._not_before = time.monotonic() + _AGAIN
        if out.strip() not in ("", "0"):
            _LOG.info("compacted %s segments of telemetry", out.strip())
