"""A headless Chromium, told what to do through a pair of pipes in the DevTools protocol."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--remote-debugging-pipe",
)  # fmt: skip


def program() -> str | None:
    """Where Chromium is, if anywhere."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Chrome:
    """One browser with one page. `complaints` are what the page wrote to its console, and errors of its scripts."""

    def __init__(self, folder: Path) -> None:
        found = program()
        assert found is not None
        down, up = os.pipe(), os.pipe()
        here = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20) for fd in (*down, *up)]
        for fd in (*down, *up):
            os.close(fd)
        theirs_in, self._out, self._in, theirs_out = here

        wired = (
            f"import os, sys; os.dup2({theirs_in}, 3); os.dup2({theirs_out}, 4); os.execv(sys.argv[1], sys.argv[1:])"
        )
        words = [found, *FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", wired, *words], pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self._reader = os.fdopen(self._in, "rb")
        self._number = 0
        self._session = ""
        self.complaints: list[str] = []
        page = next(one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Chrome:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.close()
        os.close(self._out)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Sends a command and waits for its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            told = self._receive()
            if told.get("id") == self._number:
                assert "error" not in told, told["error"]
                return dict(told["result"])
            if told.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
                self.complaints.append(json.dumps(told["params"])[:500])

    def _receive(self) -> dict[str, Any]:
        data = bytearray()
        while not data.endswith(b"\0"):
            piece = self._reader.read(1)
            assert piece, "the browser has gone"
            data += piece
        return dict(json.loads(data[:-1]))

    def look(self, width: int, height: int, *, dark: bool = False) -> None:
        """The size of the window, and whether the person likes it dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def keep_picture(self, name: str) -> None:
        """The whole page as a picture, where the variable TRIMTAB_PICTURES names a folder: for people to look at."""
        if folder := os.environ.get("TRIMTAB_PICTURES"):
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
            told = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
            (Path(folder) / f"{name}.png").write_bytes(base64.b64decode(told["data"]))

    def open(self, url: str) -> None:
        """Goes to an address."""
        self.call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """What a script comes to, in the page."""
        told = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def wait(self, condition: str, seconds: float = 20.0) -> None:
        """Until a script is true."""
        end = time.monotonic() + seconds
        while not self.run(f"(() => {{ try {{ return Boolean({condition}) }} catch {{ return false }} }})()"):
            assert time.monotonic() < end, f"it did not come to pass: {condition}; {self.complaints}"
            time.sleep(0.05)
