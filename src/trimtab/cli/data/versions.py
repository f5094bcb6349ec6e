"""`trimtab data`, the actions that only look: versions, what lies between two, what is damaged, what was refused."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.cli.data.stores import Stores, expect
from trimtab.cli.figures import number
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say, show_table, styled

if TYPE_CHECKING:
    from trimtab.data.store.state import DatasetVersion, Verification

_SHORT = 10


def newest(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    """Every dataset with its newest version."""
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


def show(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    """The versions of a dataset, or one of them."""
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


def diff(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    """What lies between two versions."""
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


def verify(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    """Read every row again; 1 where damage is found."""
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


def export(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    """Write a version to a file, or into DVC."""
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


def quarantine(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    """The rows that were refused, and why."""
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


def _span(version: DatasetVersion) -> str:
    return f"{version.time_min:%Y-%m-%d %H:%M} to {version.time_max:%Y-%m-%d %H:%M}"


def _aside(version: DatasetVersion) -> str:
    return "; ".join(f"{n:,} {plain(why)}" for why, n in sorted(version.quarantined.items()))
