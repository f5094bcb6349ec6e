"""What is there for people and their tools: the page to try the model, and the document of all addresses."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from importlib.resources import files

import orjson

from trimtab.serving.access.scopes import ANY, OPEN
from trimtab.serving.http.caller import HttpCaller
from trimtab.serving.http.endpoints.addresses import Addresses
from trimtab.serving.http.endpoints.openapi.columns import Found
from trimtab.serving.http.request import Request
from trimtab.serving.routing.releases import Release
from trimtab.serving.system import ServedSystem

_HTML = b"text/html; charset=utf-8"


class Pages:
    """Each public method answers an address."""

    def __init__(self, system: ServedSystem, addresses: Addresses) -> None:
        self._system = system
        self._addresses = addresses
        self._page: tuple[bytes, bytes] | None = None
        addresses.add("GET", "/openapi.json", ANY, self.openapi)
        addresses.add("GET", "/", OPEN, self.page)
        addresses.add("GET", "/try", OPEN, self.page)

    def openapi(self, connection: HttpCaller, request: Request, _: Release | None) -> None:
        """The document, for the model that is live."""
        # here: a server that nobody asks for it starts without
        from trimtab.serving.http.endpoints.openapi.document import document

        named = request.url.partition(b"?")[0] != b"/openapi.json"
        fleet = self._system.desired.fleet
        told = document(
            self._system.config.system,
            self._addresses.listed(named=named),
            None if fleet.live is None else fleet.live.signature,
            list(dict.fromkeys(one.model for one in fleet.releases if one.stage != "shadow")),
            most_rows=self._system.config.max_rows,
            tokens=self._system.guard.required,
            found=self._found(fleet.live),
        )
        connection.answer(200, orjson.dumps(told, option=orjson.OPT_INDENT_2))

    def _found(self, live: Release | None) -> Found:
        lookups = self._system.lookups
        if live is None or live.tensors is not None or not lookups.views:
            return Found()
        return Found(frozenset(lookups.optional(live)), tuple(sorted(lookups.entities())))

    def page(self, connection: HttpCaller, _: Request, __: Release | None) -> None:
        """The page; what it shows it asks for itself, with the token that a person gives it."""
        if self._page is None:
            self._page = _assembled()
        connection.answer(200, self._page[0], _HTML, self._page[1])


def _assembled() -> tuple[bytes, bytes]:
    """The page with its style and script inside, and header lines that let nothing else into it."""
    folder = files("trimtab.serving.http.endpoints") / "page"
    page, style, script = ((folder / name).read_text("utf-8").strip() for name in ("try.html", "try.css", "try.js"))
    page = page.replace("/*STYLE*/", style).replace("/*SCRIPT*/", script)
    policy = (
        f"default-src 'none'; style-src 'sha256-{_digest(style)}'; script-src 'sha256-{_digest(script)}'; "
        "connect-src 'self'; img-src data: blob:; media-src blob:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    head = (
        f"content-security-policy: {policy}\r\n"
        "x-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\ncache-control: no-cache\r\n"
    )
    return page.encode(), head.encode()


def _digest(text: str) -> str:
    return b64encode(hashlib.sha256(text.encode()).digest()).decode()
