"""`trimtab data`: the dataset versions that were collected, and the rows that were refused."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.cli.arguments import UsageError, add_actions, count, moment, take_system
from trimtab.cli.data import changes, versions
from trimtab.cli.data.stores import Stores, expect

if TYPE_CHECKING:
    from trimtab.wiring.place import Place

_FROM_THE_START = ("collect", "profile", "report", "expectations")
"""What is of use before anything was collected."""
_ACTIONS = {
    "list": "every dataset with its newest version",
    "collect": "[NAME [FILE]]: take in what is new in its source, or a file",
    "show": "NAME: its versions; NAME VERSION: that one and its columns",
    "diff": "NAME A [B]: what lies between two versions (B: the newest)",
    "verify": "[NAME [VERSION]]: read every row and recompute every digest",
    "export": "NAME FILE: a version as .parquet, .csv or in DVC (dvc:FOLDER)",
    "checkout": "NAME FOLDER: write the media of a version as files",
    "tag": "NAME [TAG [VERSION]]: name a version; --delete: no longer",
    "branch": "NAME [BRANCH [VERSION]]: begin NAME@BRANCH; --delete: end it",
    "merge": "NAME BRANCH: let NAME go forward to where a branch stands",
    "gc": '[NAME] --keep "90 d": let go of what nothing stands on',
    "quarantine": "NAME: the rows that were refused, and why",
    "profile": "NAME: what its columns hold; --suggest: what to require",
    "report": "NAME: its quality as one HTML page (--out FILE)",
    "expectations": "export|import NAME FILE: a suite of Great Expectations",
    "bias": "NAME [COLUMN ...]: rows and labels by slice, and what is missing",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `data`."""
    add_actions(parser, _ACTIONS, "[SYSTEM] ...", "then what the action takes")
    parser.add_argument("--personal", action="store_true", help="show or export what is personal, too")
    parser.add_argument(
        "--version", metavar="VERSION", help="export, checkout: this version, a tag or the beginning of an id"
    )
    parser.add_argument("--keep", metavar="TIME", help="gc: how long a version stays after the next one came")
    parser.add_argument("--dry-run", action="store_true", help="gc: only tell what it would free")
    parser.add_argument("--delete", action="store_true", help="tag, branch: take it away")
    parser.add_argument("--until", type=moment, metavar="MOMENT", help="collect: as if it were this moment")
    parser.add_argument("--suggest", action="store_true", help="profile: write lines that could be declared")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="report: where the page goes (default: with the state)"
    )
    parser.add_argument(
        "-n", type=count, default=20, metavar="N", help="the newest N of what may be long (default: 20)"
    )


def run(args: argparse.Namespace) -> int:
    """Do the action; 1 when `verify` found damage."""
    system, words = take_system(args.words)
    actions: dict[str, Callable[[Stores, list[str], argparse.Namespace], int]] = {
        "list": versions.newest,
        "collect": _collect,
        "show": versions.show,
        "diff": versions.diff,
        "verify": versions.verify,
        "export": versions.export,
        "quarantine": versions.quarantine,
        "checkout": changes.check_out,
        "tag": changes.tag,
        "branch": changes.branch,
        "merge": changes.merge,
        "gc": changes.let_go,
        "profile": _profile,
        "report": _report,
        "expectations": _expectations,
        "bias": _bias,
    }
    with _open(system, args) as place:
        return actions[args.action](Stores(place), words, args)


def _open(system: str, args: argparse.Namespace) -> AbstractContextManager[Place]:
    from trimtab.wiring.place import open_place

    return open_place(system, args.state, create=args.action in _FROM_THE_START)


def _collect(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    from trimtab.cli.data.collect import collect

    if len(words) > 1 or any("@" in word for word in words):
        return changes.collect(stores, words, args)
    for name in words:
        stores.named(name)
    return collect(stores.place, words or [spec.name for spec in stores.place.system.data], args)


def _profile(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    from trimtab.cli.data.quality import profile

    expect(words, 1, 1, "profile [SYSTEM] NAME [--suggest]")
    return profile(stores.place, stores.named(words[0]), args)


def _report(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    from trimtab.cli.data.quality import report

    expect(words, 1, 1, "report [SYSTEM] NAME [--out FILE]")
    return report(stores.place, stores.named(words[0]), args)


def _expectations(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    from trimtab.cli.data.quality import expectations

    expect(words, 3, 3, "expectations [SYSTEM] export|import NAME FILE")
    return expectations(stores.place, stores.named(words[1]), words[0], Path(words[2]), args)


def _bias(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    from trimtab.cli.data.bias import show_bias

    if not words:
        raise UsageError("write `trimtab data bias [SYSTEM] NAME [COLUMN ...]`")
    return show_bias(stores.named(words[0]), words[1:], args)
