"""`trimtab train`: train now, whatever the policy waits for; also what failed before."""

from __future__ import annotations

import argparse

from trimtab.cli.arguments import add_system
from trimtab.cli.by_hand import add_reason, do_by_hand
from trimtab.cli.terminal import say


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `train`."""
    add_system(parser)
    add_reason(parser)


def run(args: argparse.Namespace) -> int:
    """Train on what is collected; the next pass of the loop takes the candidate through its gates."""
    code = do_by_hand(args, args.system, "train", {})
    if code == 0 and not args.json:
        say("next: `trimtab run` takes it through the gates, as `trimtab up` does by itself", indent=2)
    return code
