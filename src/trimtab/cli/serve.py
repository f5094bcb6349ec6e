"""`trimtab serve`: the prediction server in the foreground, without the loop."""

from __future__ import annotations

import argparse
import os
import sys

from trimtab.cli.arguments import add_system
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import say
from trimtab.errors import PermanentError


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `serve`."""
    add_system(parser)


def run(args: argparse.Namespace) -> int:
    """Become the server: it runs until SIGINT or SIGTERM, answers what is due, and ends with 0."""
    from trimtab.loop.reconcile import releases_of
    from trimtab.serving.config import is_private
    from trimtab.wiring import open_place, prepare_server

    with open_place(args.system, args.state) as place:
        server = prepare_server(place)
        if server.pid is not None:
            raise PermanentError(f"a server (process {server.pid}) already serves this state at {server.url}")
        live = releases_of(place.ledger).live
        name, spec, root = place.system.name, place.system.serve, place.layout.root.absolute()
    told = f"{live.release} is live" if live else "nothing is live yet: `trimtab run` makes it so"
    if spec.grpc_port is not None:
        told += f"; gRPC at {spec.host}:{spec.grpc_port}"
    if args.json:
        emit_json(
            {
                "system": name,
                "host": spec.host,
                "port": spec.port,
                "tls": bool(spec.tls_cert),
                "grpc_port": spec.grpc_port,
                "live": live,
                "pid": os.getpid(),
            }
        )
    else:
        scheme = "https" if spec.tls_cert else "http"
        say(f"serving {name} at {scheme}://{spec.host}:{spec.port} ({told}); Ctrl-C ends it", indent=2)
        if not spec.tls_cert and not is_private(spec.host):
            say("! without TLS tokens and data can be read on their way: see [serve] tls_cert", indent=2)
    sys.stdout.flush()
    # The server takes this process's place, so that it is as small as one that the loop starts.
    os.execv(sys.executable, [sys.executable, "-m", "trimtab.serving", "--state", str(root)])
