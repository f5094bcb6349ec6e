"""What a running prediction server is told, and what it says about itself."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from trimtab.records.base import Record
from trimtab.records.telemetry import TelemetryPolicy


class ServerSettings(Record, kw_only=True):
    """What a person sets of a server, and the server goes by. Port 0 is any free one; `grpc_port` None: no gRPC.
    `processes` share the address, 0: one for each core. `explain_time` is how long explaining the rows of one request
    may take. `cors` are the origins whose pages may ask; `max_held` is what large bodies may take together. Sizes in
    bytes, times in seconds."""

    host: str = "127.0.0.1"
    port: int = 8080
    grpc_port: int | None = None
    processes: int = 1
    max_body: int = 8 * 2**20
    max_batch: int = 2**30
    max_rows: int = 10_000
    max_connections: int = 4096
    max_connections_per_address: int = 1024
    max_held: int = 256 * 2**20
    max_wait: float = 1.0
    max_queue: int = 256 * 2**20
    compress_over: int = 32 * 2**10
    cors: tuple[str, ...] = ()
    tls_cert: str = ""
    tls_key: str = ""
    header_timeout: float = 5.0
    body_timeout: float = 30.0
    answer_timeout: float = 30.0
    run_timeout: float = 10.0
    load_timeout: float = 120.0
    explain_time: float = 0.1
    telemetry: TelemetryPolicy = TelemetryPolicy()


class ServerConfig(ServerSettings, kw_only=True):
    """What a server needs to start, kept in `serve/config.json`. `token_digest` is the SHA-256 of the bearer token in
    hexadecimal (empty: no token, loopback only); the token itself is never stored. The paths of `tls_cert` and
    `tls_key` are absolute."""

    system: str
    token_digest: str = ""
    max_header: int = 32 * 2**10
    idle_timeout: float = 75.0
    max_future: float = 300.0


class ServerInfo(Record, kw_only=True):
    """Where a server listens: `serve/server.json`, written once it does. Ports are never 0; None: no gRPC. `pid` is the
    process to tell to end, `systems` the names of all that it serves, `tls` whether it speaks TLS alone."""

    pid: int
    host: str
    port: int
    started: datetime
    tls: bool = False
    grpc_port: int | None = None
    systems: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The address a caller on this machine uses."""
        return f"{'https' if self.tls else 'http'}://{self._host}:{self.port}"

    @property
    def grpc_address(self) -> str | None:
        """The address a caller on this machine gives to a gRPC channel; None where there is no gRPC."""
        return None if self.grpc_port is None else f"{self._host}:{self.grpc_port}"

    @property
    def _host(self) -> str:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"[{host}]" if ":" in host else host


class ExecutionStatus(Record, kw_only=True):
    """How a release that answers is run. `kind`: on the event loop or in `threads` threads, in batches of up to
    `largest` rows, for that `reason`; `profile` is what was measured as it was loaded: rows of a batch and its seconds.
    `waiting` rows would take `wait` seconds. `refused` requests met a queue that was too long, of `expired` ones the
    time was up, `cancelled` ones had been left by their callers. `ready` is false while it does not answer, `given_up`
    counts threads that hang."""

    kind: Literal["inline", "threads"]
    largest: int
    threads: int
    reason: str
    profile: tuple[tuple[int, float], ...]
    ready: bool
    waiting: int
    wait: float
    refused: int
    expired: int
    cancelled: int
    given_up: int


class ReleaseStatus(Record, kw_only=True):
    """One release as the server runs it; counts are since the server started. `answered` counts rows it answered,
    `shadowed` rows it scored in shadow, `failed` rows it could not score."""

    release: str
    model: str
    stage: Literal["live", "canary", "shadow"]
    weight: float
    answered: int = 0
    shadowed: int = 0
    failed: int = 0
    execution: ExecutionStatus | None = None


class ProcessStatus(Record, kw_only=True):
    """One process of a server that has several. `state` is `empty` while another is awaited in its place; `starts`
    counts how often one was started there; `applied` is the generation it has in force (-1: none, or it does not
    answer), `rss` is in bytes."""

    process: int
    pid: int
    state: Literal["empty", "starting", "serving", "ending"]
    starts: int
    connections: int
    applied: int = -1
    rss: int = 0


class ServerStatus(Record, kw_only=True):
    """What `GET /trimtab/status` answers. `applied` is the generation in force (-1: none), `wanted` the newest one
    seen in `serve/routes.json` (-1: none), `error` why `wanted` is not in force (empty: it is, or is being loaded).
    `backlog` counts rows that wait for a shadow release; `rss` is in bytes.
    `telemetry_dropped` counts rows that were answered and could not be kept, `telemetry_unsure` kept rows of which the
    disk would not say that it has them."""

    system: str
    ready: bool
    applied: int
    wanted: int
    error: str
    releases: tuple[ReleaseStatus, ...]
    pid: int
    rss: int
    backlog: int
    known: int
    telemetry_error: str = ""
    telemetry_dropped: int = 0
    telemetry_unsure: int = 0
    processes: tuple[ProcessStatus, ...] = ()
