"""A refusal in gRPC's terms: which code each status has, and what goes with it."""

from __future__ import annotations

from math import ceil

import grpc

from trimtab.serving.refusals import RefusalError

_CODES = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
Trailer = tuple[tuple[str, str], ...]


def code_of(status: int) -> grpc.StatusCode:
    """The code for an HTTP status."""
    found = _CODES.get(status)
    if found is not None:
        return found
    return grpc.StatusCode.INVALID_ARGUMENT if status < 500 else grpc.StatusCode.INTERNAL


def trailer_of(error: RefusalError) -> Trailer:
    """Trailing metadata: when it is worth asking again, in seconds and as gRPC's own retry policy reads it."""
    if error.retry_after <= 0.0:
        return ()
    return (
        ("retry-after", str(ceil(error.retry_after))),
        ("grpc-retry-pushback-ms", str(ceil(1000 * error.retry_after))),
    )
