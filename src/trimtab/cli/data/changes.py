"""`trimtab data`, the actions that change what is kept: names, branches, rows taken in by hand, what is let go."""

from __future__ import annotations

import argparse
from datetime import timedelta

from trimtab.cli.arguments import UsageError
from trimtab.cli.data.stores import Stores, expect
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say, show_table

_SHORT = 10


def tag(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    """Name a version, take a name away, or tell the names."""
    expect(words, 1, 3, "tag [SYSTEM] NAME [TAG [VERSION]] [--delete]")
    store = stores.named(words[0])
    if len(words) == 1:
        found = store.tags()
        if args.json:
            emit_json(found)
        elif found:
            show_table("", ("tag", "version"), [[plain(name), version.id[:_SHORT]] for name, version in found.items()])
        else:
            say(f"no version of {words[0]} has a name: `trimtab data tag NAME TAG [VERSION]` gives one")
        return 0
    if args.delete:
        store.untag(words[1])
        return _told(args, {"untagged": words[1]}, f"{words[1]} is no name any more")
    version = store.tag(words[1], words[2] if len(words) == 3 else None)
    return _told(args, {"tag": words[1], "version": version.id}, f"{words[1]} is {version.id[:_SHORT]}")


def branch(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    """Begin a branch, forget one, or tell them."""
    expect(words, 1, 3, "branch [SYSTEM] NAME [BRANCH [VERSION]] [--delete]")
    name, store = words[0], stores.named(words[0])
    if len(words) == 1:
        found = store.branches()
        if args.json:
            emit_json(found)
        elif found:
            rows = [[one.name, one.begins.id[:_SHORT], f"{stores.named(f'{name}@{one.name}').version().rows:,}"]
                    for one in found]  # fmt: skip
            show_table("", ("branch", "begins at", "rows"), rows, right=(2,))
        else:
            say(f"{name} has no branch: `trimtab data branch NAME BRANCH` begins one")
        return 0
    if args.delete:
        store.delete_branch(words[1])
        return _told(args, {"deleted": words[1]}, f"branch {words[1]} is gone")
    begun = store.create_branch(words[1], words[2] if len(words) == 3 else None).version()
    return _told(
        args,
        {"branch": words[1], "begins": begun},
        f"branch {words[1]} begins at {begun.id[:_SHORT]}; it is called {name}@{words[1]}",
    )


def merge(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    """Let the trunk go forward to where a branch stands."""
    expect(words, 2, 2, "merge [SYSTEM] NAME BRANCH")
    done = stores.named(words[0]).merge(words[1])
    text = f"{words[0]} has all of {words[1]} already"
    if done:
        text = f"{words[0]} is at {done[-1].id[:_SHORT]} now: {len(done)} versions of {words[1]}"
    return _told(args, {"versions": done}, text)


def collect(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    """Take rows in by hand: what is new in the declared source, or what a file or another source holds."""
    expect(words, 1, 2, "collect [SYSTEM] NAME[@BRANCH] [FILE]")
    from trimtab.wiring.sources import collect_into

    store = stores.named(words[0])
    commit = collect_into(store, stores.folder, words[1] if len(words) == 2 else None)
    if args.json:
        emit_json(commit)
    elif commit is None:
        say(f"{words[0]} has it all: no version was made")
    else:
        version = commit.version
        say(f"{words[0]} is at {version.id[:_SHORT]}: {version.added:,} rows added, {version.completed:,} completed")
        for reason, count in commit.refused.items():
            say(f"{count:,} refused: {plain(reason)}", indent=2)
    return 0


def check_out(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    """Write the media of a version as files."""
    from pathlib import Path

    expect(words, 2, 2, "checkout [SYSTEM] NAME FOLDER [--version VERSION]")
    count = stores.named(words[0]).check_out(Path(words[1]), args.version)
    return _told(args, {"files": count, "folder": words[1]}, f"{count:,} files written below {words[1]}")


def let_go(stores: Stores, words: list[str], args: argparse.Namespace) -> int:
    """Let go of old versions that nothing stands on."""
    from trimtab.declaration.units import parse_duration
    from trimtab.errors import DeclarationError
    from trimtab.loop.standing import standing
    from trimtab.records.base import SystemClock

    expect(words, 0, 1, 'gc [SYSTEM] [NAME] --keep "90 d" [--dry-run]')
    if args.keep is None:
        raise UsageError('say how long a version stays after the next one came: --keep "90 d"')
    try:
        keep = timedelta(seconds=parse_duration(args.keep))
    except (DeclarationError, OverflowError) as error:
        raise UsageError(f'"{args.keep}" is no duration', hint='write --keep "90 d"') from error
    needed, now = standing(stores.ledger), SystemClock().now()
    chosen = {words[0]: stores.named(words[0])} if words else stores.all
    found = {
        name: store.let_go(keep, needed.get(name, {}), now=now, dry=args.dry_run) for name, store in chosen.items()
    }
    if args.json:
        emit_json(found)
        return 0
    would = "would free" if args.dry_run else "freed"
    for name, freed in found.items():
        media = f", {freed.contents:,} contents" if freed.contents else ""
        say(f"{name}: {would} {size(freed.bytes)}: {len(freed.versions):,} versions{media}; {len(freed.kept):,} stay")
        why: dict[str, int] = {}
        for reason in freed.kept.values():
            why[reason] = why.get(reason, 0) + 1
        for reason, count in list(why.items())[: args.n or None]:
            say(f"{count:>6,} {plain(reason)}", indent=7)
    return 0


def size(count: float) -> str:
    """Bytes, for people."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}"
        count /= 1024
    return f"{count:,.1f} GiB"


def _told(args: argparse.Namespace, document: object, text: str) -> int:
    if args.json:
        emit_json(document)
    else:
        say(text)
    return 0
