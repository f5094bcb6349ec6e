"""What a user declares about serving: `[serve]`, and the requirements a running server measures."""

from __future__ import annotations

from trimtab.records.metric import Metric, Place
from trimtab.records.server import ServerSettings

_RUNNING: tuple[Place, ...] = ("canary", "live")


class ServeSpec(ServerSettings, kw_only=True):
    """`[serve]`. `token_env` names the environment variable that holds the bearer token; without a token the server
    binds to loopback only. `tls_cert` and `tls_key` are as written, relative to the declaration's folder."""

    token_env: str = "TRIMTAB_TOKEN"
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

BEFOREHAND: tuple[str, ...] = (
    "serving.latency_p50", "serving.latency_p95", "serving.latency_p99", "serving.throughput", "resources.memory",
)  # fmt: skip
"""Of these, what a server of its own can measure of a model before anybody is answered by it."""
