"""`trimtab models`: the model versions in the ledger, what each is like, and how to take one elsewhere.

A file for each action.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from trimtab.cli.arguments import add_actions, take_system

_ACTIONS = {
    "list": "every model that was trained, with its release; [--best METRIC]",
    "show": "MODEL: what it was made of and what it was measured at",
    "diff": "A [B]: what tells two models apart (B: the live one)",
    "explain": "MODEL [--row KEY]: what it relies on; why it answers to a row so",
    "card": "MODEL [--to FILE]: its card as a page (.html) or as text (.md)",
    "export": "MODEL --to FOLDER: all of it, standing alone in a folder or .zip",
    "metrics": "[MODEL] [--metric NAME] [--to FILE.html]: what it logged, by step",
    "artifacts": "MODEL [--to DIR]: the files that its training saved",
    "track": "write to the declared trackers what they lack",
    "reproduce": "MODEL: train it again from what is kept, and compare",
    "import": "mlflow:PLACE: take over the runs of another tracker",
    "imported": "[RUN]: the runs that were taken over, or one of them whole",
    "fetch": "RUN --to FOLDER: bring the files of an imported run",
}
_FILES = {"list": "listing", "import": "importing"}
_FROM_THE_START = ("import",)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `models`."""
    add_actions(
        parser,
        _ACTIONS,
        "[SYSTEM] ...",
        "then what the action takes; MODEL is a model's id or its beginning, or a release",
    )
    parser.add_argument("--row", metavar="KEY", help="explain: the row with this key, instead of the whole model")
    parser.add_argument("--best", metavar="METRIC", help="list: every training, trials too, the best figure first")
    parser.add_argument("--csv", action="store_true", help="list: every figure of every model, for a spreadsheet")
    parser.add_argument("--metric", metavar="NAME", help="metrics: only this one")
    parser.add_argument("--to", type=Path, metavar="PATH", help="where the page, the folder or the files go")
    parser.add_argument("--again", action="store_true", help="explain, card, export: look again at the rows")
    parser.add_argument("--experiment", metavar="NAME", help="import: only the runs of this experiment")
    parser.add_argument(
        "--files",
        choices=("none", "models", "all"),
        default="none",
        help="import: which files to copy, models being those in ONNX (default: none)",
    )


def run(args: argparse.Namespace) -> int:
    """Do the action; 1 when `reproduce` came to another model."""
    from trimtab.wiring.place import open_place

    system, words = take_system(args.words)
    action = importlib.import_module(f"trimtab.cli.models.{_FILES.get(args.action, args.action)}")
    with open_place(system, args.state, create=args.action in _FROM_THE_START) as place:
        return int(action.run(place, words, args))
