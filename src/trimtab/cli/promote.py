"""`trimtab promote`: make a release or a model live by hand."""

from __future__ import annotations

import argparse

from trimtab.cli.arguments import add_system
from trimtab.cli.by_hand import do_by_hand


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `promote`."""
    parser.add_argument("name", metavar="RELEASE|MODEL", help="a release such as r-003, or the beginning of a model's id")
    add_system(parser)
    parser.add_argument("--why", default="", metavar="TEXT", help="kept in the ledger beside the decision")


def run(args: argparse.Namespace) -> int:
    """Promote, with the former live release standing by."""
    return do_by_hand(args, "promote", args.why or "a person said so", {"release": args.name, "to": "live"})
