"""`trimtab VERB ...`: reads the arguments, runs one verb, turns its result into output and an exit code.

Exit codes: 0 all met, 1 something broken or an action failed, 2 the declaration or the usage is wrong.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from trimtab import __version__
from trimtab.errors import DeclarationError, TrimtabError

VERBS = {
    "check": "say what the declaration asks for, where it is measured and what it is worth",
    "run": "run the loop: once, until it settles, or for good",
    "up": "serve and run the loop together",
    "status": "what is live and whether each requirement holds",
    "plan": "what the loop would do now, and why",
    "log": "what happened, from the ledger",
    "data": "dataset versions: list, show, diff, verify, export",
    "models": "model versions: list, show, diff, reproduce",
    "promote": "make a release or a model live by hand",
    "rollback": "go back to the release that was live before",
    "serve": "serve the live release without the loop",
    "backtest": "replay history through policies and say what each would have been worth",
    "replay": "replay history through the real server and the loop",
    "report": "write the story of a system as one HTML page",
}


def parser(verb: str | None = None) -> argparse.ArgumentParser:
    """The whole command line; only `verb` (all when None) gets its arguments, so that start-up stays fast."""
    top = argparse.ArgumentParser(
        prog="trimtab",
        description="Keeps what a machine learning system must hold, by itself, with the evidence.",
        epilog="exit codes: 0 all met, 1 something broken, 2 usage or declaration error",
    )
    top.add_argument("--version", action="version", version=f"trimtab {__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, meaning in VERBS.items():
        sub = verbs.add_parser(name, help=meaning, description=f"{meaning[0].upper()}{meaning[1:]}.")
        if verb is None or verb == name:
            importlib.import_module(f"trimtab.cli.{name}").arguments(sub)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    verb = next((word for word in given if word in VERBS), None)
    args = parser(verb).parse_args(given)
    try:
        return int(importlib.import_module(f"trimtab.cli.{args.verb}").run(args))
    except DeclarationError as error:
        return _refuse(str(error), 2)
    except TrimtabError as error:
        return _refuse(str(error), 1)
    except KeyboardInterrupt:
        return _refuse("interrupted: run the same command again to go on", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _refuse(message: str, code: int) -> int:
    sys.stderr.write(f"trimtab: {message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
