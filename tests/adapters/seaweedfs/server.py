"""SeaweedFS as an S3 server on this machine: one process, one bucket, one pair of keys."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from obstore.store import S3Store

ROOT = Path(__file__).parents[3]
WEED = ROOT / "build" / "components" / "seaweedfs" / "bin" / "weed"
BUCKET = "trimtab"
KEY = "a-key-of-tests"
SECRET = "a-secret-of-tests-that-nobody-prints"
_GRPC = 10_000
"""Each part also listens this far above its port."""


class Seaweed:
    """A server on `folder`; what was put there survives `kill` and the next `start`, at the same address."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = _free_ports(4)
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        keys = {"accessKey": KEY, "secretKey": SECRET}
        everything = ["Admin", "Read", "Write", "List", "Tagging"]
        rights = {"identities": [{"name": "tests", "credentials": [keys], "actions": everything}]}
        (folder / "s3.json").write_text(json.dumps(rights))

    @property
    def endpoint(self) -> str:
        """The address that S3 clients are given."""
        return f"http://127.0.0.1:{self._ports[0]}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which S3 clients find the server and its keys."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }

    def start(self) -> None:
        """Start, and wait until it answers for the bucket."""
        s3, master, volume, filer = self._ports
        words = [
            str(WEED), "mini", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={self._folder / 'data'}",
            f"-s3.port={s3}", f"-s3.config={self._folder / 's3.json'}", f"-master.port={master}",
            f"-volume.port={volume}", f"-filer.port={filer}", "-webdav=false", "-admin.ui=false",
            "-s3.port.iceberg=0", "-s3.port.lance=0", f"-bucket={BUCKET}",
        ]  # fmt: skip
        (self._folder / "data").mkdir(exist_ok=True)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log, cwd=self._folder, start_new_session=True)
        end = time.monotonic() + 60
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise AssertionError(f"SeaweedFS did not come up:\n{(self._folder / 'log').read_text()[-3000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End it without a warning, as a crash would."""
        if self._process is not None:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        from obstore.exceptions import BaseError

        try:
            self.store("up").put("ready", b"yes")
        except (BaseError, OSError):
            return False
        return True

    def store(self, prefix: str = "") -> S3Store:
        """The bucket, or what lies below a prefix of it, as tests put things there."""
        from obstore.store import S3Store

        return S3Store(
            BUCKET,
            prefix=prefix or None,
            endpoint=self.endpoint,
            access_key_id=KEY,
            secret_access_key=SECRET,
            region="us-east-1",
            client_options={"allow_http": True, "timeout": "20s", "connect_timeout": "1s"},
            retry_config={"max_retries": 0},
        )


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, nor on the one that goes with each."""
    found: list[int] = []
    with ExitStack() as held:
        for port in random.sample(range(20_000, 32_000), 500):
            try:
                for one in (port, port + _GRPC):
                    held.enter_context(closing(socket.socket())).bind(("127.0.0.1", one))
            except OSError:
                continue
            found.append(port)
            if len(found) == count:
                return found
    raise AssertionError("there are no free ports")
