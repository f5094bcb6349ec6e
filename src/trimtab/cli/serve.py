"""`trimtab serve`: the prediction server in the foreground, without the loop."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trimtab.cli.arguments import SYSTEM, UsageError, add_state
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import say
from trimtab.errors import PermanentError
from trimtab.serving.spec import ServeSpec

_MOST = 1024


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `serve`."""
    several = f"{SYSTEM}, a model file (.onnx) or an exported model; several share the address of the first"
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help=several)
    parser.add_argument(
        "--processes",
        type=processes,
        metavar="N",
        help="how many processes share the address, or `auto`: one for each core (default: as declared)",
    )
    add_state(parser)


def processes(text: str) -> int:
    """A number of processes; 0 for `auto`."""
    if text == "auto":
        return 0
    if not text.isdecimal() or not 1 <= int(text) <= _MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes from 1 to {_MOST:,}, nor `auto`")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Become the server: it runs until SIGINT or SIGTERM, answers what is due, and ends with 0."""
    from trimtab.deployment.local import environment_of

    systems = args.systems or ["."]
    if args.state is not None and len(systems) > 1:
        raise UsageError("--state names the state folder of one system", hint="serve the others with the default one")
    served = [_preparing(system)(system, args.state, args.processes) for system in systems]
    names = [one["system"] for one in served]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"two of the systems are named {twice!r}")
    try:
        _check_free(served[0]["root"])
    except PermanentError as error:
        if systems[0].endswith(".onnx"):  # its settings stand beside it
            beside = Path(systems[0]).with_suffix(".toml").name
            error.hint = error.hint.replace("[serve]", f"[serve] of {beside}")
        raise
    if args.json:
        emit_json({**served[0]["told"], "pid": os.getpid(), "systems": [one["told"] for one in served]})
    else:
        for one in served:
            say(f"serving {one['system']} at {served[0]['address']} ({one['how']}); Ctrl-C ends it", indent=2)
        if served[0]["bare"]:
            say("! without TLS tokens and data can be read on their way: see [serve] tls_cert", indent=2)
    sys.stdout.flush()
    states = [word for one in served for word in ("--state", str(one["root"]))]
    # The server takes this process's place, so that it is as small as one that the loop starts.
    os.execve(sys.executable, [sys.executable, "-m", "trimtab.serving", *states], environment_of(os.environ))


def _check_free(root: Path) -> None:
    """Raises PermanentError where nobody can listen at the address that is written there, or not with its certificate,
    before anybody is told that it is served there."""
    from trimtab.records.layout import Layout
    from trimtab.serving.config import read_config
    from trimtab.serving.processes.address import bind

    layout = Layout(root)
    config = read_config(layout.serve_config, layout.tokens)
    if config.tls_cert and config.tls_key:
        from trimtab.serving.access.tls import check_files

        check_files(Path(config.tls_cert), Path(config.tls_key))
    if config.grpc_port is not None and find_spec("grpc") is None:
        raise PermanentError(
            "[serve] grpc_port needs a package that is missing: grpc", hint="pip install 'trimtab[grpc]'"
        )
    bind(config, 0).close()


def _preparing(path: str) -> Callable[[str, Path | None, int | None], dict[str, Any]]:
    """What prepares the thing at that path to be served."""
    if path.endswith(".onnx"):
        return _prepare_model
    if (Path(path) / "trimtab.toml").is_file():
        return _prepare
    from trimtab.deployment.package.reading import is_package

    return _prepare_package if is_package(Path(path)) else _prepare


def _prepare(path: str, state: Path | None, count: int | None) -> dict[str, Any]:
    """Writes what a server needs to serve one system; what to tell of it."""
    from trimtab.loop.passes.reconcile import releases_of
    from trimtab.wiring.place import open_place
    from trimtab.wiring.serving import prepare_server

    with open_place(path, state) as place:
        server = prepare_server(place, processes=count)
        if server.pid is not None:
            raise PermanentError(f"a server (process {server.pid}) already serves this state at {server.url}")
        live = releases_of(place.ledger).live
        name, spec, root = place.system.name, place.system.serve, place.layout.root.absolute()
    how = f"{live.release} is live" if live else "nothing is live yet: `trimtab run` makes it so"
    return _told(name, spec, root, how, live)


def _prepare_model(path: str, state: Path | None, count: int | None) -> dict[str, Any]:
    """Likewise for a model file."""
    from trimtab.loop.targets.model_file import place_of_model, prepare_model
    from trimtab.records.base import SystemClock

    layout = place_of_model(Path(path), state)
    declared = prepare_model(Path(path), layout, os.environ, SystemClock(), count)
    return _told(declared.name, declared.serve, layout.root.absolute(), f"the model of {path}", None)


def _prepare_package(path: str, state: Path | None, count: int | None) -> dict[str, Any]:
    """Likewise for a model that was exported."""
    from trimtab.loop.targets.model_file import place_of_model
    from trimtab.loop.targets.package import prepare_package
    from trimtab.records.base import SystemClock

    place = Path(path).absolute()
    layout = place_of_model(place, state)
    name, spec = prepare_package(place, layout, os.environ, SystemClock(), count)
    return _told(name, spec, layout.root.absolute(), f"the exported model of {path}", None)


def _told(name: str, spec: ServeSpec, root: Path, how: str, live: Any) -> dict[str, Any]:
    from trimtab.serving.config import is_private

    if spec.grpc_port is not None:
        how += f"; gRPC at {spec.host}:{spec.grpc_port}"
    scheme, bare = ("https", False) if spec.tls_cert else ("http", not is_private(spec.host))
    told = {
        "system": name,
        "host": spec.host,
        "port": spec.port,
        "tls": bool(spec.tls_cert),
        "grpc_port": spec.grpc_port,
        "live": live,
    }
    address = f"{scheme}://{spec.host}:{spec.port}"
    return {"system": name, "root": root, "told": told, "how": how, "address": address, "bare": bare}
