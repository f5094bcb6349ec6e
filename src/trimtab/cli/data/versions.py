"""`trimtab data`: the dataset versions that were collected, and the rows that were refused."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.cli import data_changes
from trimtab.cli.arguments import UsageError, add_words, count, moment, take_system
from trimtab.cli.data_changes import expect
from trimtab.cli.figures import number
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say, show_table, styled

if TYPE_CHECKING:
    from trimtab.data.store.state import DatasetVersion, Verification
    from trimtab.data.store.versions import DatasetStore
    from trimtab.wiring.place import Place

_SHORT = 10
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
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = "\n".join(f"  {action:<14}{meaning}" for action, meaning in _ACTIONS.items())
    parser.add_argument("action", choices=_ACTIONS, metavar="ACTION", help=", ".join(_ACTIONS))
    add_words(parser, "ACTION [SYSTEM] ...", "then what the action takes")
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
        "list": _list,
        "collect": _collect,
        "show": _show,
        "diff": _diff,
        "verify": _verify,
        "export": _export,
        "quarantine": _quarantine,
        "checkout": data_changes.check_out,
        "tag": data_changes.tag,
        "branch": data_changes.branch,
        "merge": data_changes.merge,
        "gc": data_changes.let_go,
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


class Stores:
    """The declared datasets by name."""

    def __init__(self, place: Place) -> None:
        self.place = place
        from trimtab.data.store.versions import DatasetStore

        extra = (place.system.annotations,) if place.system.annotations is not None else ()
        specs = (*place.system.data, *extra)
        self.folder = Path(place.system.folder)
        self.ledger = place.ledger
        self.all = {spec.name: DatasetStore(place.data, spec) for spec in specs}

    def named(self, called: str) -> DatasetStore:
        """A dataset by name, or a branch of it as NAME@BRANCH."""
        from trimtab.declaration.problems import did_you_mean

        name, sign, branch = called.partition("@")
        if name not in self.all:
            raise UsageError(
                f"no dataset is called {name!r}{did_you_mean(name, self.all)}", hint=f"there are {', '.join(self.all)}"
            )
        return self.all[name].on(branch) if sign else self.all[name]


def _collect(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    from trimtab.cli.data_collect import collect

    if len(words) > 1 or any("@" in word for word in words):
        return data_changes.collect(stores, words, args)
    for name in words:
        stores.named(name)
    return collect(stores.place, words or [spec.name for spec in stores.place.system.data], args)


def _list(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    expect(words, 0, 0, "list [SYSTEM]")
    newest = {name: store.current() for name, store in stores.all.items()}
    refused = {name: store.quarantined(0).total for name, store in stores.all.items()}
    if args.json:
        emit_json([{"dataset": n, "version": v, "quarantined": refused[n]} for n, v in newest.items()])
        return 0
    rows = [
        [name, v.id[:_SHORT], f"{v.rows:,}", _span(v), f"{refused[name]:,}"]
        if v is not None
        else [name, "-", "0", "not collected yet", f"{refused[name]:,}"]
        for name, v in newest.items()
    ]
    show_table("", ("dataset", "version", "rows", "span", "quarantined"), rows, right=(2, 4))
    return 0


def _show(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    expect(words, 1, 2, "show [SYSTEM] NAME [VERSION]")
    store = stores.named(words[0])
    if len(words) == 2:
        return _show_version(store.version(words[1]), args)
    versions = store.versions()
    if args.json:
        emit_json(versions)
        return 0
    if not versions:
        say(f"{words[0]} has no version yet: `trimtab data collect` collects it")
        return 0
    shown = versions[-args.n :] if args.n else versions
    rows = [
        [v.id[:_SHORT], f"{v.until:%Y-%m-%d %H:%M}", f"{v.rows:,}", f"+{v.added:,}", f"{v.completed:,}", _aside(v)]
        for v in shown
    ]
    show_table("", ("version", "until", "rows", "added", "completed", "quarantined"), rows, right=(2, 3, 4))
    if len(shown) < len(versions):
        say(f"the newest {len(shown)} of {len(versions)}; `-n 0` shows all")
    return 0


def _show_version(version: DatasetVersion, args: argparse.Namespace) -> int:
    if args.json:
        emit_json(version)
        return 0
    say(f"{styled(version.dataset, 'bold')} {version.id}")
    say(f"{version.rows:,} rows, {_span(version)}; asked for up to {version.until:%Y-%m-%d %H:%M} UTC")
    parent = version.parent[:_SHORT] if version.parent else "nothing"
    say(f"from {parent}: {version.added:,} added, {version.completed:,} completed, {_aside(version) or 0} quarantined")
    say(f"columns: {', '.join(map(plain, version.columns))}", indent=9)
    for change in version.changes:
        say(f"{styled('!', 'yellow')} {plain(change.in_words)}", indent=2)
    return 0


def _diff(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    expect(words, 2, 3, "diff [SYSTEM] NAME A [B]")
    found = stores.named(words[0]).diff(words[1], words[2] if len(words) == 3 else None)
    if args.json:
        emit_json(found)
        return 0
    say(f"{words[0]}: {found.a[:_SHORT]} to {found.b[:_SHORT]}")
    for word, total, keys in (
        ("added", found.added, found.added_keys),
        ("removed", found.removed, found.removed_keys),
        ("changed", found.changed, found.changed_keys),
        ("same", found.same, ()),
    ):
        some = f" ({', '.join(map(plain, keys))}{', ...' if total > len(keys) else ''})" if keys else ""
        say(f"{word:<9}{total:>12,}{some}", indent=22)
    if found.labels_changed:
        say(f"{'labels':<9}{found.labels_changed:>12,} of the changed rows have another one", indent=22)
    for word, names in (("new columns", found.columns_added), ("gone columns", found.columns_removed)):
        if names:
            say(f"{word}: {', '.join(map(plain, names))}", indent=2)
    moved = [m for m in found.movement if m.distance > 0 or m.nulls_before != m.nulls_after]
    if moved:
        say()
        rows = [
            [plain(m.column), m.statistic, number(m.distance), f"{m.nulls_before:.1%}", f"{m.nulls_after:.1%}"]
            for m in moved
        ]
        show_table("", ("column", "statistic", "distance", "null before", "null after"), rows, right=(2, 3, 4))
    return 0


def _verify(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    expect(words, 0, 2, "verify [SYSTEM] [NAME [VERSION]]")
    chosen = [stores.named(words[0])] if words else list(stores.all.values())
    found: dict[str, Verification] = {}
    for store in chosen:
        if words or store.current() is not None:
            found[store.spec.name] = store.verify(words[1] if len(words) == 2 else None)
    if args.json:
        emit_json(found)
    else:
        for name, result in found.items():
            word = styled("sound", "green") if result.sound else styled("damaged", "bold red")
            say(f"{name} {result.version[:_SHORT]}: {result.rows:,} rows, {word}")
            for damage in result.damages:
                keys = f" ({', '.join(map(plain, damage.keys))})" if damage.keys else ""
                say(f"  {damage.file or name}: {plain(damage.reason)}; {damage.rows:,} rows{keys}", indent=4)
        if not found:
            say("nothing was collected yet")
    return int(not all(result.sound for result in found.values()))


def _export(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    expect(words, 2, 2, "export [SYSTEM] NAME FILE [--version VERSION]")
    if words[1].startswith("dvc:"):
        return _export_to_dvc(stores, words[0], Path(words[1].removeprefix("dvc:")), args)
    path = Path(words[1])
    rows = stores.named(words[0]).export(path, args.version, personal=args.personal)
    if args.json:
        emit_json({"rows": rows, "file": str(path)})
    else:
        say(f"{rows:,} rows written to {path}")
    return 0


def _export_to_dvc(stores: Stores, name: str, folder: Path, args: argparse.Namespace) -> int:
    from trimtab.wiring.sources import export_to_dvc

    told = export_to_dvc(stores.named(name), folder, args.version)
    if args.json:
        emit_json({"file": str(told)})
    else:
        say(f"{told} says what {name} is; `git add` and `dvc push` make it others'")
    return 0


def _quarantine(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    expect(words, 1, 1, "quarantine [SYSTEM] NAME")
    found = stores.named(words[0]).quarantined(args.n or 1_000_000, personal=args.personal)
    if args.json:
        emit_json({"reasons": found.reasons, "rows": found.rows.to_dicts()})
        return 0
    if not found.total:
        say(f"no row of {words[0]} was refused")
        return 0
    show_table(
        "", ("rows", "refused because"), [[f"{n:,}", plain(why)] for why, n in found.reasons.items()], right=(0,)
    )
    rows = [
        [f"{row['seen_at']:%Y-%m-%d %H:%M}", plain(row["key"] or "-"), plain(row["row"])]
        for row in found.rows.to_dicts()
    ]
    show_table("", ("refused at", "key", "row"), rows)
    return 0


def _profile(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    from trimtab.cli.data_quality import profile

    expect(words, 1, 1, "profile [SYSTEM] NAME [--suggest]")
    return profile(stores.place, stores.named(words[0]), args)


def _report(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    from trimtab.cli.data_quality import report

    expect(words, 1, 1, "report [SYSTEM] NAME [--out FILE]")
    return report(stores.place, stores.named(words[0]), args)


def _expectations(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    from trimtab.cli.data_quality import expectations

    expect(words, 3, 3, "expectations [SYSTEM] export|import NAME FILE")
    return expectations(stores.place, stores.named(words[1]), words[0], Path(words[2]), args)


def _bias(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    from trimtab.cli.data_bias import show_bias

    if not words:
        raise UsageError("write `trimtab data bias [SYSTEM] NAME [COLUMN ...]`")
    return show_bias(stores.named(words[0]), words[1:], args)


def _span(version: DatasetVersion) -> str:
    return f"{version.time_min:%Y-%m-%d %H:%M} to {version.time_max:%Y-%m-%d %H:%M}"


def _aside(version: DatasetVersion) -> str:
    return "; ".join(f"{n:,} {plain(why)}" for why, n in sorted(version.quarantined.items()))
