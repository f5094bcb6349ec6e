"""Answers as bytes."""

from __future__ import annotations

import math

import orjson

from trimtab.serving.refusals import RefusalError

_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    408: "Request Timeout",
    411: "Length Required",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    417: "Expectation Failed",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
    507: "Insufficient Storage",
}
JSON, TEXT = b"application/json", b"text/plain; version=0.0.4; charset=utf-8"
_HEADS = {
    code: f"HTTP/1.1 {code} {reason}\r\n".encode() + b"content-type: %b\r\ncontent-length: %d\r\n"
    for code, reason in _REASONS.items()
}
OK = (_HEADS[200] % (JSON, 0)).removesuffix(b"0\r\n")  # the head of the usual answer, up to its length


def reply(
    status: int, body: bytes, *, close: bool = False, kind: bytes = JSON, extra: bytes = b"", bare: bool = False
) -> bytes:
    """A whole HTTP/1.1 answer, or with `bare` its head alone. `extra` holds further header lines, each with its line
    end."""
    head = _HEADS[status] % (kind, len(body)) + extra
    if status >= 400:
        head += b"x-content-type-options: nosniff\r\n"  # what a caller sent is told back to it: never as a page
    return head + (b"connection: close\r\n\r\n" if close else b"\r\n") + (b"" if bare else body)


def nothing(extra: bytes, *, close: bool) -> bytes:
    """An answer without a body (204)."""
    return b"HTTP/1.1 204 No Content\r\n%b%b\r\n" % (extra, b"connection: close\r\n" if close else b"")


def opening(status: int, kind: bytes, extra: bytes, *, chunked: bool, close: bool) -> bytes:
    """The head of an answer whose length is not known: chunked, or for HTTP/1.0 ended by the connection's end."""
    head = b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\n" % (status, _REASONS[status].encode(), kind) + extra
    head += b"transfer-encoding: chunked\r\n" if chunked else b""
    return head + (b"connection: close\r\n\r\n" if close else b"\r\n")


def allowed(method: str) -> str:
    """The header line that says which methods an address has, where `method` is the one it is for."""
    return f"allow: {method}, {'HEAD, ' if method == 'GET' else ''}OPTIONS\r\n"


def refusal(error: RefusalError) -> tuple[int, bytes, bytes]:
    """Status, JSON body and further header lines of a refusal."""
    told: dict[str, object] = {"error": error.message}
    if error.hint:
        told["hint"] = error.hint
    if isinstance(error.more, dict):
        told |= error.more
    extra = ""
    if error.allow:
        extra += allowed(error.allow)
    if error.retry_after:
        extra += f"retry-after: {math.ceil(error.retry_after)}\r\n"
    if error.status == 401 or error.challenge:
        extra += f"www-authenticate: Bearer {error.challenge}".rstrip() + "\r\n"
    return error.status, orjson.dumps(told), extra.encode()
