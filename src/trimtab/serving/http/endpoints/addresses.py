"""Which address means what."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote

from trimtab.serving.http.endpoints.meant import meant
from trimtab.serving.http.request import Address, Endpoint
from trimtab.serving.refusals import RefusalError
from trimtab.serving.routing.desired import Desired

_NOT_OFFERED = {
    "logging": "the logging extension",
    "trace": "the trace extension",
    "systemsharedmemory": "shared memory",
    "cudasharedmemory": "shared memory",
}
_NOT_OF_MODELS = {
    "trace": "the trace extension",
    "config": "the model configuration extension",
    "generate": "the generate extension",
    "generate_stream": "the generate extension",
}
_LISTED = "`GET /v2` lists the extensions that are"


class Listed(NamedTuple):
    """An address as a document lists it, `{version}` in the place of a model version."""

    method: str
    path: str
    scope: int


class Addresses:
    """The addresses of one system."""

    def __init__(self, system: str, desired: Desired) -> None:
        self.system = system
        self.model = f"/v2/models/{system}"
        self._desired = desired
        self._table: dict[bytes, Address] = {}
        self._versioned: dict[str, Address] = {}

    def add(self, method: str, path: str, scope: int, endpoint: Endpoint) -> None:
        """An address of the server; `scope` as in `Address`."""
        self._table[path.encode()] = Address(method.encode(), scope, endpoint)

    def of_model(self, method: str, verb: str, scope: int, endpoint: Endpoint, *, versions: bool = True) -> None:
        """An address of the model, and of each version of it. `verb` is what follows the name, empty for nothing."""
        self.add(method, f"{self.model}/{verb}".rstrip("/"), scope, endpoint)
        if versions:
            self._versioned[verb] = Address(method.encode(), scope, endpoint)

    def name_system(self) -> None:
        """Lets every address of the system's own end with its name, as in `/predict/<system>`: with several systems in
        a server that is how they are told apart."""
        for path, address in tuple(self._table.items()):
            if not path.startswith(b"/v2") and path != b"/":
                self._table[b"%b/%b" % (path, self.system.encode())] = address

    def listed(self, *, named: bool) -> list[Listed]:
        """Every address there is: `named`, those that end with the system's name, else those without it."""
        found = []
        for path, one in self._table.items():
            told = path.decode()
            if told.startswith("/v2") or told.endswith(f"/{self.system}") == named:
                found.append(Listed(one.method.decode(), told, one.scope))
        version = f"{self.model}/versions/{{version}}"
        return found + [
            Listed(one.method.decode(), f"{version}/{verb}".rstrip("/"), one.scope)
            for verb, one in self._versioned.items()
        ]

    def lasting(self, url: bytes) -> Address | None:
        """The address of a request where it is the same for as long as the system is served."""
        return self._table.get(url)

    def find(self, url: bytes) -> Address:
        """The address of a request, whatever follows its `?`. Raises RefusalError (404)."""
        return self._table.get(url) or self._search(url)

    def _search(self, url: bytes) -> Address:
        raw = url.partition(b"?")[0]
        path = unquote(raw.decode("latin-1"))
        found = self._table.get(raw) or self._table.get(path.encode()) or self._table.get(path.rstrip("/").encode())
        if found is not None:
            return found
        if path.startswith(f"{self.model}/"):
            return self._of_model(path[len(self.model) + 1 :].rstrip("/"))
        shown = path if len(path) <= 200 else path[:197] + "..."
        if path.startswith("/v2/models/"):
            raise RefusalError(404, f"no such model or call: this server serves {self.system!r}")
        if path.startswith("/v2/") and (name := path.split("/")[2]) in _NOT_OFFERED:
            raise RefusalError(404, f"{_NOT_OFFERED[name]} is not offered", hint=_LISTED)
        before, _, last = path.rpartition("/")
        if f"{before}/{self.system}".encode() in self._table:
            raise RefusalError(404, f"no such system: {last[:200]!r}", hint=f"this server serves {self.system!r}")
        hint = meant(path, self.system) or "`GET /openapi.json` lists them all"
        raise RefusalError(404, f"no such address: {shown}", hint=hint)

    def _of_model(self, rest: str) -> Address:
        verb = rest
        if rest.startswith("versions/"):
            _, version, *verbs = rest.split("/", 2)
            release = self._desired.fleet.pinned(version)
            if release is None:
                raise RefusalError(404, f"model {version!r} is neither live nor canary")
            verb = verbs[0] if verbs else ""
            found = self._versioned.get(verb)
            if found is not None:
                return found._replace(release=release)
        missing = _NOT_OF_MODELS.get(verb.split("/")[0])
        if missing is not None:
            raise RefusalError(404, f"{missing} is not offered", hint=_LISTED)
        calls = ", ".join(name for name in self._versioned if name)
        raise RefusalError(404, f"no such call of a model: {verb[:100]!r}", hint=f"a model has {calls}")
