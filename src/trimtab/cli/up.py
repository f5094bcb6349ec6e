"""`trimtab up`: the prediction server and the loop, together in the foreground."""

from __future__ import annotations

import argparse
import signal
from types import FrameType

from trimtab.cli.arguments import add_system, seconds
from trimtab.cli.story import Story


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `up`."""
    add_system(parser)
    parser.add_argument("--every", type=seconds, default=60.0, metavar="SECONDS", help="between rounds (default: 60)")


def run(args: argparse.Namespace) -> int:
    """Serve and settle every so often until SIGINT or SIGTERM; then end the loop, and the server after what is due."""
    from trimtab.wiring.loop import watch
    from trimtab.wiring.place import open_place
    from trimtab.wiring.serving import server_of

    story = Story(as_json=args.json)
    signal.signal(signal.SIGTERM, _interrupt)
    with open_place(args.system, args.state) as place, place.keep():
        server = server_of(place, linked=True)
        found = server.pid is not None
        try:
            server.start()
            server.keep_running(lambda text: story.line("server", text))
            how = "takes over the server at" if found else "serves at"
            story.line("up", f"{place.system.name} {how} {server.url}, a round every {args.every:g} s; Ctrl-C ends it")
            watch(place, every=args.every, say=story, server=server)
        except KeyboardInterrupt:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)  # it is ending; once is enough
            story.line("up", "ending: the server answers what is due")
        finally:
            server.stop()
    story.line("up", "ended")
    return 0


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt
