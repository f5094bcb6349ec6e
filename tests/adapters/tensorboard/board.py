"""The real TensorBoard on this machine, asked over HTTP."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from trimtab.wiring.serving import free_port

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / "build" / "components" / "tensorboard" / "bin" / "python"
_START = 90.0


class Board:
    """One TensorBoard over a folder, which it reads again and again. A context manager that ends it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._shown = 0
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log = (folder.parent / "tensorboard.log").open("wb")
        options = {
            "--logdir": str(folder),
            "--host": "127.0.0.1",
            "--port": str(port),
            "--load_fast": "false",
            "--reload_interval": "1",
            "--samples_per_plugin": "scalars=100000",
        }
        self._process = subprocess.Popen(
            [str(PYTHON), "-m", "tensorboard.main", *(word for pair in options.items() for word in pair)],
            env=os.environ | {"PYTHONWARNINGS": "ignore"},
            cwd=folder,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def __enter__(self) -> Board:
        deadline = time.monotonic() + _START
        while True:
            try:
                self.ask("/data/environment")
                break
            except OSError:
                assert self._process.poll() is None, "TensorBoard did not start"
                assert time.monotonic() < deadline, "TensorBoard does not answer"
                time.sleep(0.2)
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()

    def ask(self, path: str, body: Any = None, **query: str) -> Any:
        """One answer as JSON."""
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(
            f"{self.url}{path}?{urllib.parse.urlencode(query)}", data=data,
            headers={"Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(asked, timeout=30) as reply:
            return json.loads(reply.read())

    def show(self, place: Path) -> dict[str, tuple[Any, list[str]]]:
        """Let it read a copy of a folder: by run, relative to that folder, its session and its scalar tags, once every
        session has ended and nothing more comes."""
        self._shown += 1
        own = f"shown{self._shown}/"
        shutil.copytree(place, self.folder / own)
        runs = len(list(place.glob("*/*/events*")))
        deadline, before = time.monotonic() + _START, None
        while time.monotonic() < deadline:
            tags = self.ask("/data/plugin/scalars/tags")
            ended = [each for each in self.sessions() if each["name"].startswith(own) and each.get("endTimeSecs")]
            found = {each["name"]: (each, sorted(tags.get(each["name"], ()))) for each in ended}
            if len(found) >= runs and before == found:
                return {run.removeprefix(own): told for run, told in found.items()}
            before = found
            time.sleep(1.1)
        raise AssertionError(f"TensorBoard shows {before}")

    @property
    def newest(self) -> str:
        """What the names of runs of the folder that was shown last begin with."""
        return f"shown{self._shown}/"

    def sessions(self) -> list[Any]:
        """The sessions of the hyper-parameters' page."""
        asked = {
            "experimentName": "", "allowedStatuses": ["STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_UNKNOWN"],
            "colParams": [], "startIndex": 0, "sliceSize": 100,
        }  # fmt: skip
        groups = self.ask("/data/plugin/hparams/session_groups", asked)["sessionGroups"]
        return [session | {"hparams": group["hparams"]} for group in groups for session in group["sessions"]]
