"""`trimtab VERB ...`: reads the arguments, runs one verb, turns its result into output and an exit code.

Exit codes: 0 all met, 1 something broken or an action failed, 2 the declaration or the usage is wrong.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from trimtab.cli.arguments import UsageError, Words
from trimtab.errors import DeclarationError, TrimtabError
from trimtab.version import __version__

VERBS = {
    "check": "what is declared, where it is measured and what it is worth",
    "run": "run the loop: once, until it settles, or for good",
    "up": "serve and run the loop together",
    "status": "what is live, and whether each requirement holds",
    "plan": "what the loop would do now, and why",
    "log": "what happened, from the ledger",
    "data": "datasets: their versions, their quality and what was refused",
    "labels": "what people say, where they differ, and what to label next",
    "telemetry": "what was answered, and what was true: list, show, export, verify",
    "models": "model versions: what they are like, their cards, export",
    "experiment": "hypotheses about models: list, run, show",
    "search": "try hyper-parameters, within what must hold",
    "train": "train now, whatever the policy waits for",
    "promote": "make a release or a model live by hand",
    "rollback": "go back to the release that was live before",
    "serve": "serve what is live, without the loop",
    "forget": "make a person's data unreadable everywhere, with proof",
    "token": "who may ask the server: add, list, revoke",
    "backtest": "replay history through policies, and what each is worth",
    "replay": "replay history through the real server and the loop",
    "report": "write the story of a system as one HTML page",
}
_GROUPS = {
    "keep a system": ("check", "run", "up", "status", "plan", "log"),
    "look closer": ("data", "labels", "telemetry", "models", "experiment", "search", "report"),
    "decide by hand": ("train", "promote", "rollback", "serve", "token", "forget"),
    "try a policy on history": ("backtest", "replay"),
}
_ASK_FOR_HELP = ("-h", "--help", "help")
_TRACEBACK = "TRIMTAB_TRACEBACK"
_ENDED_BY_SIGNAL = 130


def usage() -> str:
    """What `trimtab --help` says."""
    lines = [
        "usage: trimtab VERB [SYSTEM] [options]",
        "",
        "Keeps what a machine learning system must hold, by itself, with the evidence.",
        "SYSTEM is a trimtab.toml or the folder that holds it (default: this folder).",
    ]
    for title, verbs in _GROUPS.items():
        lines += ["", f"{title}:", *(f"  {verb:<10} {VERBS[verb]}" for verb in verbs)]
    lines += [
        "",
        "`trimtab VERB --help` tells the options of a verb; every verb has --json.",
        "exit codes: 0 all met, 1 broken or failed, 2 wrong usage or declaration",
        "",
    ]
    return "\n".join(lines)


def parser(verb: str) -> argparse.ArgumentParser:
    """The command line of one verb; only this verb is imported, so that it starts fast."""
    module = importlib.import_module(f"trimtab.cli.{verb}")
    meaning = VERBS[verb]
    found = Words(prog=f"trimtab {verb}", description=f"{meaning[0].upper()}{meaning[1:]}.", allow_abbrev=False)
    found.set_defaults(run=module.run)
    module.arguments(found)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in _ASK_FOR_HELP:
        (sys.stdout if given else sys.stderr).write(usage())
        return 0 if given else 2
    if given[0] == "--version":
        sys.stdout.write(f"trimtab {__version__}\n")
        return 0
    if given[0] not in VERBS:
        return _refuse(_no_such_verb(given[0]), 2)
    try:
        args = parser(given[0]).parse_args(given[1:])
    except SystemExit as done:  # argparse has said why
        return int(done.code or 0)
    return _guarded(args)


def _guarded(args: argparse.Namespace) -> int:  # noqa: PLR0911 - one line for each kind of error
    """Run the verb; whatever it raises becomes one line and an exit code, never a traceback."""
    try:
        code = int(args.run(args))
        sys.stdout.flush()  # here, where a reader that went away is no error
    except DeclarationError as error:
        return _refuse(_told(error), 2)
    except TrimtabError as error:
        return _refuse(_told(error), 2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt:
        return _refuse("interrupted; run the same command again to go on", _ENDED_BY_SIGNAL)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        return _refuse(f"{what} (look at the disk and at who owns the folder)", 1)
    except Exception as error:  # a fault of Trimtab's own: still one line
        said = " ".join(str(error).split())
        return _refuse(f"a fault in Trimtab: {type(error).__name__}: {said}", 1, error)
    return code


def _told(error: TrimtabError) -> str:
    """An error in one line (several problems of a declaration: one a line), its mend in brackets."""
    from trimtab.declaration.problems import DeclarationErrors

    return str(error) if isinstance(error, DeclarationErrors) else error.in_one_line()


def _no_such_verb(word: str) -> str:
    from trimtab.declaration.problems import nearest

    if word.startswith("-"):
        return f"the verb comes first, then {word} (`trimtab --help` lists the verbs)"
    meant = nearest(word, VERBS)
    return f"there is no verb `{word}`" + (f"; did you mean `{meant}`?" if meant else " (`trimtab --help` lists them)")


def _refuse(message: str, code: int, fault: Exception | None = None) -> int:
    sys.stdout.flush()
    if fault is not None and os.environ.get(_TRACEBACK):
        sys.stderr.write("".join(traceback.format_exception(fault)))
    elif fault is not None:
        message += f" [{_TRACEBACK}=1 shows where]"
    sys.stderr.writelines(f"trimtab: {line}\n" for line in message.splitlines())
    return code


if __name__ == "__main__":
    sys.exit(main())
