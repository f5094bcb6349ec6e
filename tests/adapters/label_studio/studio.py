"""A real Label Studio on this machine, and people who label in it through its own API and its sign-up form."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

from trimtab.wiring.serving import free_port

ROOT = Path(__file__).parents[3]
PROGRAM = ROOT / "build" / "components" / "label_studio" / "bin" / "label-studio"
TOKEN = "0123456789abcdef0123456789abcdef01234567"
LEAD = "lead@example.com"
_PASSWORD = "only-for-tests-1"
_START = 240.0


class Studio:
    """One server with its data in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.people = {LEAD: TOKEN}
        self._log = (folder / "log").open("wb")
        environment = os.environ | {
            "LABEL_STUDIO_BASE_DATA_DIR": str(folder / "data"),
            "LABEL_STUDIO_USERNAME": LEAD,
            "LABEL_STUDIO_PASSWORD": _PASSWORD,
            "LABEL_STUDIO_USER_TOKEN": TOKEN,
            "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
            "COLLECT_ANALYTICS": "False",
            "LATEST_VERSION_CHECK": "false",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
        }
        command = [str(PROGRAM), "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)]
        self._process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True
        )
        self._wait(folder / "log")

    def ask(self, method: str, path: str, body: Any = None, person: str = LEAD) -> Any:
        """One call of the API as a person."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Token {self.people[person]}", "Content-Type": "application/json"}
        asked = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)
        with urllib.request.urlopen(asked, timeout=60) as reply:
            content = reply.read()
        return json.loads(content) if content else None

    def sign_up(self, person: str) -> None:
        """A new annotator, by the form that an invited person fills in."""
        link = self.url + self.ask("GET", "/api/invite")["invite_url"]
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        with browser.open(link) as page:
            hidden = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.read().decode())
        assert hidden is not None
        form = {"csrfmiddlewaretoken": hidden[1], "email": person, "password": _PASSWORD, "allow_newsletters": "false"}
        sent = urllib.request.Request(link, data=urllib.parse.urlencode(form).encode(), headers={"Referer": link})
        browser.open(sent).close()
        with browser.open(self.url + "/api/current-user/token") as told:
            self.people[person] = json.loads(told.read())["token"]

    def project(self, title: str) -> int:
        """The number of a project."""
        (found,) = [p for p in self.ask("GET", "/api/projects?page_size=100")["results"] if p["title"] == title]
        return int(found["id"])

    def tasks(self, project: int) -> dict[str, dict[str, Any]]:
        """The tasks of a project by item."""
        found = self.ask("GET", f"/api/tasks?project={project}&fields=all&page_size=1000")["tasks"]
        return {task["data"].get("trimtab_item", str(task["id"])): task for task in found}

    def annotate(self, task: int, result: Any, person: str, seconds: float = 5.0) -> int:
        """Submit a person's answer; the number of the annotation."""
        body = {"result": result, "lead_time": seconds}
        return int(self.ask("POST", f"/api/tasks/{task}/annotations", body, person)["id"])

    def stop(self) -> None:
        """End the server."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _wait(self, log: Path) -> None:
        until = time.monotonic() + _START
        while time.monotonic() < until:
            assert self._process.poll() is None, log.read_text("utf-8")[-2000:]
            try:
                with urllib.request.urlopen(self.url + "/health", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
        self.stop()
        raise TimeoutError(f"Label Studio did not start: {log.read_text('utf-8')[-2000:]}")


def choice(label: str) -> list[dict[str, Any]]:
    """What a person's click on a class sends."""
    return [{"from_name": "label", "to_name": "item", "type": "choices", "value": {"choices": [label]}}]
