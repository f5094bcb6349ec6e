"""Calls to Label Studio's REST API, its faults told in this house's errors.

The API is small and stable, and the vendor's own package brings several hundred megabytes: these are plain requests.
"""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from trimtab.errors import TemporaryError
from trimtab.labels.port import LabelsError

_PAGE = 200
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_NOT_FOUND = 404
_MOST_BYTES = 2**30


class Calls:
    """One Label Studio at `url`, asked with the token of a user (the legacy kind, of the page "Account & Settings")."""

    def __init__(self, url: str, token: str, *, timeout: float = 60.0) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._timeout = timeout

    @classmethod
    def by_environment(cls, url: str, variable: str) -> Calls:
        """With the token in an environment variable. Raises LabelsError where it is not set."""
        token = os.environ.get(variable, "")
        if not token:
            raise LabelsError(
                f"{variable} is not set: it holds the token of Label Studio", hint=f"export {variable}=..."
            )
        return cls(url, token)

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """One call; the answer as JSON. TemporaryError where it cannot be reached or is busy, else LabelsError."""
        address = f"{self.url}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Token {self._token}", "Content-Type": "application/json"}
        asked = urllib.request.Request(address, data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(asked, timeout=self._timeout) as reply:
                content = reply.read(_MOST_BYTES)
        except urllib.error.HTTPError as error:
            raise self._meaning(error, method, path) from error
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "reason", None) or error
            raise TemporaryError(f"Label Studio at {self.url} cannot be reached: {why}", delay=30) from error
        try:
            return json.loads(content) if content else None
        except ValueError as error:
            raise LabelsError(f"{self.url}{path} answered no JSON", hint="is this Label Studio's address?") from error

    def project(self, title: str) -> Mapping[str, Any] | None:
        """The project of this title; None where there is none. Raises LabelsError where there are several."""
        found = [one for one in self._listed("/api/projects", title=title) if one.get("title") == title]
        if len(found) > 1:
            raise LabelsError(
                f"{len(found)} projects in {self.url} have the title {title!r}", hint="rename all but one"
            )
        return found[0] if found else None

    def users(self) -> dict[int, str]:
        """E-mail addresses (names where there is none) by user id."""
        return {
            int(u["id"]): str(u.get("email") or u.get("username") or u["id"]) for u in self.ask("GET", "/api/users")
        }

    def tasks(self, project: int, *, since: datetime | None = None, fields: str = "all") -> Iterator[dict[str, Any]]:
        """Every task of a project in order of id, those that changed after `since` only. Annotations, but
        not drafts, come with `fields` "all"."""
        query: dict[str, Any] = {"ordering": ["tasks:id"]}
        if since is not None:
            newer = {"filter": "filter:tasks:updated_at", "operator": "greater", "type": "Datetime"}
            value = f"{since.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"  # the one form that it reads
            query["filters"] = {"conjunction": "and", "items": [{**newer, "value": value}]}
        page, seen = 1, 0
        while True:
            found = self.ask(
                "GET", "/api/tasks", project=project, fields=fields, page=page, page_size=_PAGE, query=json.dumps(query)
            )
            yield from found["tasks"]
            seen += len(found["tasks"])
            if seen >= int(found["total"]) or not found["tasks"]:
                return
            page += 1

    def _listed(self, path: str, **query: Any) -> Iterator[Mapping[str, Any]]:
        page = 1
        while True:
            found = self.ask("GET", path, page=page, page_size=_PAGE, **query)
            yield from found["results"]
            if not found.get("next"):
                return
            page += 1

    def _meaning(self, error: urllib.error.HTTPError, method: str, path: str) -> LabelsError | TemporaryError:
        said = _detail(error)
        if error.code in _BUSY:
            return TemporaryError(f"Label Studio at {self.url} is busy: {error.code} {said}", delay=10)
        if error.code in (401, 403):
            hint = "the token must be a legacy token of a user who may see the project"
            return LabelsError(f"Label Studio at {self.url} refuses the token: {said}", hint=hint)
        return LabelsError(f"Label Studio refuses {method} {path}: {error.code} {said}")


def moment(text: str) -> datetime:
    """A moment as the API writes it."""
    return datetime.fromisoformat(text).astimezone(UTC)


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        found = json.loads(error.read(2**16))
    except (ValueError, OSError):
        return str(error.reason)
    wrong = found.get("validation_errors") if isinstance(found, dict) else None
    return json.dumps(wrong) if wrong else str(found.get("detail", found) if isinstance(found, dict) else found)
