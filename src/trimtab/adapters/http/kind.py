"""What may be declared of `source = "https://..."`."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from trimtab.data.kinds import Duration, Rate, Size, SourceKind
from trimtab.errors import DeclarationError
from trimtab.records.base import Record

_SECRET = re.compile(r"authorization|cookie|token|secret|password|api[-_]?key|^key$", re.IGNORECASE)
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_WITH_NEXT = ("cursor", "link")
_WITH_PARAMETER = ("cursor", "offset", "number")


class HttpOptions(Record):
    """`items` is the path to the list of rows in an answer (`data.items`; empty: the answer is the list).

    `pages` says how the next page is asked for: by the cursor that the answer has at the path `next`; by the link that
    it has there, or in its `Link` header; by an offset in rows; by its number, from `first`. `parameter` is the query
    parameter that takes cursor, offset or number, `size_parameter` the one that takes `page_size`.
    `since_parameter` and `until_parameter` take the span that is asked for; `moments` says how the interface writes
    instants, there and in the time column. `appends`: new rows only ever come after the others, so that the next
    reading may go on at the last page. `headers_env` and `parameters_env` name the environment variables that hold
    secret headers and query parameters, `token_env` the one that holds a bearer token.
    `timeout` and `largest` bound one answer, unpacked; `rate` the questions, `tries` each of them.
    """

    items: str = ""
    pages: Literal["none", "cursor", "link", "offset", "number"] = "none"
    next: str = ""
    parameter: str = ""
    size_parameter: str = ""
    page_size: int | None = None
    first: Annotated[int, msgspec.Meta(ge=0)] = 1
    since_parameter: str = ""
    until_parameter: str = ""
    moments: Literal["iso", "unix", "unix_ms"] = "iso"
    appends: bool = False
    headers: dict[str, str] = {}  # noqa: RUF012 - msgspec copies an empty default
    headers_env: dict[str, str] = {}  # noqa: RUF012
    parameters_env: dict[str, str] = {}  # noqa: RUF012
    token_env: str = ""
    rate: Rate | None = None
    tries: int = 6
    timeout: Duration = 30.0
    largest: Size = 64 * 2**20


def check(source: str, options: HttpOptions) -> None:
    """Raises DeclarationError where address and options do not fit, or hold a secret."""
    _check_address(source, options)
    _check_pages(options)
    for name, value in options.headers.items():
        if _SECRET.search(name):
            raise DeclarationError(
                f'the header "{name}" looks like a secret, which does not belong in the declaration',
                hint=f'write headers_env = {{ "{name}" = "NAME_OF_A_VARIABLE" }}',
            )
        if "\n" in value or "\r" in value:
            raise DeclarationError(f'the header "{name}" has a line break')
    for name in (*options.headers, *options.headers_env):
        if not _HEADER.fullmatch(name):
            raise DeclarationError(f'"{name}" cannot be the name of a header')
    for variable in (*options.headers_env.values(), *options.parameters_env.values(), options.token_env):
        if variable and not _VARIABLE.fullmatch(variable):
            raise DeclarationError(
                "what stands for a secret is not the name of an environment variable",
                hint='write the name, such as token_env = "SHOP_TOKEN", and put the secret into the environment',
            )


def _check_address(source: str, options: HttpOptions) -> None:
    try:
        found = urlsplit(source)
        host, _ = found.hostname, found.port
    except ValueError as error:
        raise DeclarationError(f"the address cannot be read: {error}") from error
    if not host:
        raise DeclarationError("the address names no host", hint='write "https://example.com/rows"')
    if found.username is not None or found.password is not None:
        raise DeclarationError(
            "the address holds a user or a password, which do not belong in the declaration",
            hint='leave them out and write headers_env = { Authorization = "NAME_OF_A_VARIABLE" }',
        )
    if found.fragment:
        raise DeclarationError(f'the address ends in "#{found.fragment}", which no server is ever told')
    for name in (part.partition("=")[0] for part in found.query.split("&")):
        if _SECRET.search(name):
            raise DeclarationError(
                f'the parameter "{name}" of the address looks like a secret, which does not belong in the declaration',
                hint=f'write parameters_env = {{ {name} = "NAME_OF_A_VARIABLE" }}',
            )
    secret = options.token_env or options.headers_env or options.parameters_env
    if secret and found.scheme == "http" and not _on_this_machine(host):
        raise DeclarationError("a secret would be sent without encryption", hint="write https:// instead of http://")


def _check_pages(options: HttpOptions) -> None:
    if options.pages == "cursor" and not options.next:
        raise DeclarationError(
            'pages = "cursor" needs the path to the cursor of the next page', hint='write next = "meta.next_cursor"'
        )
    if options.next and options.pages not in _WITH_NEXT:
        raise DeclarationError(f'next has no meaning for pages = "{options.pages}"')
    if options.parameter and options.pages not in _WITH_PARAMETER:
        raise DeclarationError(f'parameter has no meaning for pages = "{options.pages}"')
    if options.page_size is not None and not options.size_parameter:
        raise DeclarationError("page_size has no meaning without size_parameter", hint='write size_parameter = "limit"')
    if options.size_parameter and options.page_size is None:
        raise DeclarationError("size_parameter has no meaning without page_size", hint="write page_size = 1000")


def _on_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


KIND = SourceKind(HttpOptions, check)
