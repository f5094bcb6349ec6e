"""A real MLflow server on this machine, and its own client to look with."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

from trimtab.wiring.serving import free_port

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / "build" / "components" / "mlflow" / "bin" / "python"
QUIET = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_START = 120.0


class Mlflow:
    """One server with its database and its artifacts in a folder of its own."""

    def __init__(self, folder: Path, password: str = "") -> None:
        """With a password it asks everyone to be the user `admin`."""
        port = free_port()
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self.database = folder / "mlflow.db"
        self.artifacts = folder / "artifacts"
        self._log = (folder / "log").open("wb")
        options = {
            "--host": "127.0.0.1",
            "--port": str(port),
            "--workers": "1",
            "--backend-store-uri": f"sqlite:///{self.database}",
            "--artifacts-destination": str(self.artifacts),
        }
        words = [word for pair in options.items() for word in pair]
        environment = os.environ | QUIET
        if password:
            words += ["--app-name", "basic-auth"]
            environment |= {"MLFLOW_AUTH_ADMIN_PASSWORD": password, "MLFLOW_FLASK_SERVER_SECRET_KEY": password}
        self._process = subprocess.Popen(
            [str(PYTHON), "-m", "mlflow", "server", *words],
            env=environment,
            cwd=folder,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._wait()

    def ask(self, path: str, body: Any, method: str = "POST") -> Any:
        """One call of the API, not by way of the adapter."""
        asked = urllib.request.Request(
            f"{self.url}/api/2.0/mlflow/{path}",
            data=json.dumps(body).encode(),
            method=method,
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(asked, timeout=60) as reply:
            return json.loads(reply.read() or b"{}")

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What its database holds."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as database:
            return database.execute(query, values).fetchall()

    def client(self, code: str, *arguments: str) -> Any:
        """What MLflow's own client says: `code` prints JSON as its last line."""
        ran = subprocess.run(
            [str(PYTHON), "-W", "ignore", "-c", code, *arguments],
            env=os.environ | QUIET | {"MLFLOW_TRACKING_URI": self.url, "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr[-3000:]
        return json.loads(ran.stdout.splitlines()[-1])

    def stop(self) -> None:
        """End the server."""
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()

    def _wait(self) -> None:
        until = time.monotonic() + _START
        log = self.folder / "log"
        while time.monotonic() < until:
            assert self._process.poll() is None, log.read_text("utf-8")[-2000:]
            try:
                with urllib.request.urlopen(self.url + "/health", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        self.stop()
        raise TimeoutError(f"MLflow did not start: {log.read_text('utf-8')[-2000:]}")
