"""`trimtab promote`: make a release or a model live by hand."""

from __future__ import annotations

import argparse

from trimtab.cli.arguments import UsageError, add_words, take_system
from trimtab.cli.by_hand import add_reason, do_by_hand


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `promote`."""
    add_words(parser, "[SYSTEM] RELEASE|MODEL", "then a release such as r-003, or the beginning of a model's id")
    add_reason(parser)


def run(args: argparse.Namespace) -> int:
    """Promote, with the former live release standing by."""
    system, words = take_system(args.words)
    if len(words) != 1:
        raise UsageError(
            "say which release to promote", hint="trimtab promote [SYSTEM] r-003; `trimtab models list` names them"
        )
    return do_by_hand(args, system, "promote", {"release": words[0], "to": "live"})
