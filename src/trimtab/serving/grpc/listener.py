"""The gRPC side of a server: `grpc.aio` on the event loop that HTTP is served from, behind the same execution."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from trimtab.errors import PermanentError
from trimtab.records.server import ServerConfig
from trimtab.serving.access.scopes import ADMIN, ANY, OPEN, PREDICT
from trimtab.serving.access.tls import ServerTls
from trimtab.serving.grpc.desk import InferenceDesk, Terms, refusal_of
from trimtab.serving.grpc.messages import SERVICE, Messages
from trimtab.serving.grpc.statuses import code_of, trailer_of
from trimtab.serving.refusals import RefusalError
from trimtab.serving.system import ServedSystem

_LOG = logging.getLogger("trimtab.serving")
_STREAMS = 256  # calls at once on one connection
_SCOPES = {
    "ServerLive": OPEN,
    "ServerReady": OPEN,
    "ServerMetadata": ANY,
    "ModelReady": ANY,
    "ModelMetadata": ANY,
    "RepositoryIndex": ANY,
    "ModelInfer": PREDICT,
    "ModelStreamInfer": PREDICT,
}  # as over HTTP; what is not listed needs admin
Context = Any  # grpc.aio.ServicerContext, which is generic only for type checkers


class GrpcListener:
    """Serves the systems at `config.grpc_port`, which is `shared` with other processes or its own. Raises
    PermanentError when it cannot listen there."""

    def __init__(
        self,
        config: ServerConfig,
        systems: Sequence[ServedSystem],
        *,
        shared: bool = False,
        tls: ServerTls | None = None,
    ) -> None:
        self._config = config
        self._systems = systems
        self._tls = tls
        self._metrics = systems[0].metrics
        self._streams: Counter[str] = Counter()
        messages = Messages()
        self._desk = InferenceDesk(systems, messages)
        handlers = {
            method.name: self._handler(method, messages[method.input_type.name]) for method in messages.service.methods
        }
        self._server = grpc.aio.server(
            handlers=[grpc.method_handlers_generic_handler(SERVICE, handlers)],
            maximum_concurrent_rpcs=config.max_connections,
            options=[
                ("grpc.max_receive_message_length", config.max_body),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_metadata_size", config.max_header),
                ("grpc.max_concurrent_streams", _STREAMS),
                ("grpc.max_allowed_incoming_connections", config.max_connections),
                ("grpc.max_connection_idle_ms", int(1000 * config.idle_timeout)),
                ("grpc.server_handshake_timeout_ms", int(1000 * config.header_timeout)),
                ("grpc.so_reuseport", int(shared)),
            ],
        )

    async def start(self, before: int = 0) -> int:
        """Listens; the port. For port 0 the port `before`, where it is free, so that callers find it again."""
        port = self._bind(before)
        await self._server.start()
        return port

    async def stop(self, grace: float) -> None:
        """Takes nothing new, and waits until what is due has been answered, `grace` seconds at the most."""
        await self._server.stop(grace)

    def _bind(self, before: int) -> int:
        host = f"[{self._config.host}]" if ":" in self._config.host else self._config.host
        wanted = self._config.grpc_port or 0
        for port in (before, 0) if wanted == 0 and before else (wanted,):
            try:
                if found := self._open(f"{host}:{port}"):
                    return found
            except RuntimeError:  # taken, or not ours
                continue
        raise PermanentError(
            f"cannot listen at {host}:{wanted} for gRPC", hint="is another server there? see grpc_port"
        )

    def _open(self, address: str) -> int:
        if self._tls is None:
            return int(self._server.add_insecure_port(address))
        return int(self._server.add_secure_port(address, _credentials(self._tls)))

    def _handler(self, method: Any, message: Any) -> grpc.RpcMethodHandler[Any, Any]:
        """What answers one method: its token is looked at before its message is read."""
        name, scope = method.name, _SCOPES.get(method.name, ADMIN)
        act = getattr(self._desk, re.sub(r"(?<!^)(?=[A-Z])", "_", method.name).lower())

        async def unary(body: bytes, context: Context) -> bytes:
            try:
                terms = self._terms(scope, context)
                told = await act(_read(message, body), terms)
            except Exception as error:  # whatever it is, the caller is told
                await self._abort(context, refusal_of(error, name))
            self._metrics.requests[200] += 1
            return told if isinstance(told, bytes) else bytes(told.SerializeToString())

        async def stream(bodies: AsyncIterable[bytes], context: Context) -> AsyncIterator[bytes]:
            try:
                terms = self._terms(scope, context)
                with self._one_more(context.peer().rpartition(":")[0]):
                    async for told in act((_read(message, body) async for body in bodies), terms):
                        self._metrics.requests[200] += 1
                        yield told.SerializeToString()
            except Exception as error:
                await self._abort(context, refusal_of(error, name))

        if method.client_streaming:
            return grpc.stream_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)

    @contextmanager
    def _one_more(self, address: str) -> Iterator[None]:
        """A stream from there, for as long as it lasts: streams may wait for long, and one caller could take up all
        calls that may be open at a time. Raises RefusalError (503)."""
        if self._streams[address] >= self._config.max_connections_per_address:
            most = self._config.max_connections_per_address
            raise RefusalError(503, f"{most:,} streams are open from this address", hint="end one of them first")
        self._streams[address] += 1
        try:
            yield
        finally:
            self._streams[address] -= 1
            if not self._streams[address]:
                del self._streams[address]

    async def _abort(self, context: Context, error: RefusalError) -> NoReturn:
        self._metrics.requests[error.status] += 1
        await context.abort(code_of(error.status), error.in_one_line(), trailer_of(error))
        raise AssertionError("abort raises")

    def _terms(self, scope: int, context: Context) -> Terms:
        token, sticky = b"", None
        for key, value in context.invocation_metadata():
            if key == "authorization":
                token = value.encode()
            elif key == "x-sticky-key":
                sticky = value
        left = context.time_remaining()
        deadline = None if left is None else time.perf_counter() + left
        terms = Terms(token, scope, deadline, sticky)
        terms.check(system.guard for system in self._systems)
        return terms


def _read(message: Any, body: bytes) -> Any:
    try:
        return message.FromString(body)
    except DecodeError as error:
        raise RefusalError(400, f"not a {message.DESCRIPTOR.name}: {error}") from error


def _credentials(tls: ServerTls) -> grpc.ServerCredentials:
    """What gRPC shows to callers; it asks before each handshake, from a thread of its own."""
    shown = tls.pem

    def changed() -> Any:
        nonlocal shown
        if shown is tls.pem:
            return None
        shown = tls.pem
        return grpc.ssl_server_certificate_configuration([shown])

    return grpc.dynamic_ssl_server_credentials(grpc.ssl_server_certificate_configuration([shown]), changed)
