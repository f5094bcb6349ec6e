"""What a user declares about serving: `[serve]`, and the requirements a running server measures."""

from __future__ import annotations

from trimtab.records.base import Record
from trimtab.records.metric import Metric, Place
from trimtab.records.telemetry import TelemetryPolicy

_RUNNING: tuple[Place, ...] = ("canary", "live")


class ServeSpec(Record, kw_only=True):
    """`[serve]`. `token_env` names the environment variable that holds the bearer token; without a token the server
    binds to loopback only. `grpc_port` None: no gRPC. `processes` share the address, 0: one for each core.
    `explain_time` is how long explaining the rows of one request may take. `tls_cert` and `tls_key` are as written,
    relative to the declaration's folder; `cors` are the origins whose pages may ask; `max_held` is what large bodies
    may take together. Sizes in bytes, times in seconds."""

    host: str = "127.0.0.1"
    port: int = 8080
    grpc_port: int | None = None
    processes: int = 1
    token_env: str = "TRIMTAB_TOKEN"
    max_body: int = 8 * 2**20
    max_batch: int = 2**30
    max_rows: int = 10_000
    header_timeout: float = 5.0
    body_timeout: float = 30.0
    explain_time: float = 0.1
    telemetry: TelemetryPolicy = TelemetryPolicy()
    answer_timeout: float = 30.0
    run_timeout: float = 10.0
    load_timeout: float = 120.0
    max_wait: float = 1.0
    max_queue: int = 256 * 2**20
    max_connections: int = 4096
    max_connections_per_address: int = 1024
    max_held: int = 256 * 2**20
    compress_over: int = 32 * 2**10
    cors: tuple[str, ...] = ()
    tls_cert: str = ""
    tls_key: str = ""
    line: int = 0


METRICS: tuple[Metric, ...] = (
    Metric(name="serving.latency_p50", unit="time", better="lower", places=_RUNNING,
           meaning="median time from a whole request to its answer, in the server"),
    Metric(name="serving.latency_p95", unit="time", better="lower", places=_RUNNING,
           meaning="95th percentile of the time from a whole request to its answer, in the server"),
    Metric(name="serving.latency_p99", unit="time", better="lower", places=_RUNNING,
           meaning="99th percentile of the time from a whole request to its answer, in the server"),
    Metric(name="serving.throughput", unit="rate", better="higher", places=("release",),
           meaning="rows a second that one thread of the model answers, one row a call"),
    Metric(name="serving.explain_time", unit="time", better="lower", places=("release",),
           meaning="time that one thread takes to explain one row"),
    Metric(name="serving.error_rate", unit="ratio", better="lower", places=_RUNNING,
           meaning="share of well-formed requests that the server failed to answer"),
    Metric(name="resources.memory", unit="size", better="lower", places=_RUNNING,
           meaning="resident memory of the server"),
)  # fmt: skip
