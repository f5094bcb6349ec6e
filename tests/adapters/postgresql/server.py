"""PostgreSQL on this machine: a cluster of its own, for the time of the tests, that asks for a password."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from trimtab.wiring.serving import free_port

PASSWORD = "a-passw0rd-that-nobody-prints"


def binaries() -> Path | None:
    """Where its programs are, if anywhere: Debian keeps them out of the path."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    kept = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return kept[-1] if kept else None


class Postgres:
    """A server at a port of the loopback, with the user `trimtab` and the database `shop`."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="trimtab-postgresql-"))
        self._owner = "postgres" if os.geteuid() == 0 else None  # it does not run as root
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        if self._owner:
            owner = pwd.getpwnam(self._owner)
            for path in (self._folder, secret):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        words = ["initdb", "-D", str(self._folder / "data"), "-U", "trimtab", "--pwfile", str(secret), "-A",
                 "scram-sha-256", "-E", "UTF8", "--locale", "C.UTF-8", "--no-sync"]  # fmt: skip
        subprocess.run(
            [str(programs / words[0]), *words[1:]], user=self._owner, check=True, capture_output=True, cwd="/"
        )

    @property
    def address(self) -> str:
        """Without the password."""
        return f"postgresql://trimtab@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start, and wait until it takes connections."""
        words = [str(self._programs / "postgres"), "-D", str(self._folder / "data"), "-p", str(self.port),
                 "-h", "127.0.0.1", "-k", str(self._folder), "-c", "fsync=off"]  # fmt: skip
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log, user=self._owner, cwd="/")
        ready = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        end = time.monotonic() + 60
        while subprocess.run(ready, check=False).returncode:
            if time.monotonic() > end:
                self.stop()
                raise AssertionError((self._folder / "log").read_text())
            time.sleep(0.05)

    def stop(self) -> None:
        """End it at once; every connection breaks."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        """Leave nothing behind."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
