"""The declared prediction server, and what it is to serve."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trimtab.errors import TrimtabError
from trimtab.records.base import SystemClock
from trimtab.records.server import ServerConfig
from trimtab.wiring.place import Place

if TYPE_CHECKING:
    from trimtab.deployment.local import LocalServer
    from trimtab.deployment.port import Target
    from trimtab.loop.targets.bench import ServerBench
    from trimtab.loop.targets.served import ServedReleases


def free_port() -> int:
    """A port of this machine's loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def server_of(
    place: Place, *, port: int | None = None, linked: bool = False, processes: int | None = None
) -> LocalServer:
    """The declared prediction server on this machine; `processes` instead of the declared number (0: one for each
    core). With `port` it is there for this process alone: at that port of the loopback, without gRPC and TLS."""
    from trimtab.deployment.local import LocalServer
    from trimtab.serving.config import server_config

    spec = place.system.serve
    if port is not None:
        spec = msgspec.structs.replace(spec, host="127.0.0.1", port=port, grpc_port=None, tls_cert="", tls_key="")
    if processes is not None:
        spec = msgspec.structs.replace(spec, processes=processes)
    token = os.environ.get(spec.token_env, "").strip() or None
    config = server_config(spec, place.system.name, os.environ, place.layout.tokens, Path(place.system.folder))
    return LocalServer(place.layout.root, config, token=token, linked=linked)


def server_trouble(place: Place) -> tuple[str, ...]:
    """What the server that runs on this state says is wrong, in lines; none where all is well or none runs."""
    if not place.layout.server.is_file():
        return ()
    from trimtab.deployment.local import LocalServer

    try:
        status = LocalServer(place.layout.root, ServerConfig(system=place.system.name)).status()
    except TrimtabError as error:
        return (error.in_one_line(),)
    if status is None:
        return ()
    told = [status.error and f"generation {status.wanted} is not in force: {status.error}", status.telemetry_error]
    if status.telemetry_dropped:
        told.append(f"{status.telemetry_dropped:,} rows were answered and not kept since the server started")
    if status.telemetry_unsure:
        told.append(f"of {status.telemetry_unsure:,} rows the disk would not say that it has them")
    return tuple(filter(None, told))


def bench_of(place: Place) -> ServerBench:
    """The declared server, to measure models on before they answer anybody: at a port of the loopback, without gRPC and
    TLS."""
    from trimtab.loop.targets.bench import ServerBench
    from trimtab.loop.trials.trial import requests_of

    server, search = server_of(place, port=0), place.system.model.search
    return ServerBench(
        server.config,
        place.layout.blobs,
        place.layout.work,
        clock=SystemClock(),
        token=server.token,
        connections=search.connections if search is not None else 4,
        requests=requests_of(place.system),
    )


def served(place: Place, target: Target) -> ServedReleases:
    """What `target` answers with, and the telemetry of this state."""
    from trimtab.loop.targets.served import ServedReleases
    from trimtab.serving.telemetry.reading.reader import TelemetryReader

    several = place.system.task == "multiclass_classification"
    return ServedReleases(target, TelemetryReader(place.layout.telemetry), several=several)


def prepare_server(place: Place, *, processes: int | None = None) -> LocalServer:
    """Write what a server needs to start on this state: its settings, and the routes that the ledger asks for."""
    from trimtab.deployment.routes_file import RoutesFile
    from trimtab.loop.passes.offsets import generation_of
    from trimtab.loop.passes.reconcile import wanted_routes
    from trimtab.serving.config import write_config

    server = server_of(place, processes=processes)
    write_config(place.layout.serve_config, server.config)
    generation = generation_of(place.ledger)
    if generation:
        routes = wanted_routes(place.system, place.ledger, generation, SystemClock().now())
        RoutesFile(place.layout.root).apply(routes)
    return server
