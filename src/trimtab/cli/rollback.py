"""`trimtab rollback`: go back to the release that was live before."""

from __future__ import annotations

import argparse

from trimtab.cli.arguments import add_system
from trimtab.cli.by_hand import add_reason, do_by_hand


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `rollback`."""
    add_system(parser)
    parser.add_argument("--to", metavar="RELEASE", default="", help="this release instead of the last one")
    add_reason(parser)


def run(args: argparse.Namespace) -> int:
    """Roll the live release back."""
    return do_by_hand(args, args.system, "rollback", {"release": "", "back_to": args.to})
