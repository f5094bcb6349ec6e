"""`trimtab data collect`: fetch what is new now, and see how far it has come."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say, styled
from trimtab.errors import TrimtabError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from trimtab.data.store.state import Taken
    from trimtab.loop.past.stored import Collected, StoredDatasets
    from trimtab.wiring.place import Place


def collect(place: Place, names: Sequence[str], args: argparse.Namespace) -> int:
    """Collect these datasets, one after the other, as a pass of the loop would; what each comes to goes into the
    ledger. No loop may run beside it."""
    from trimtab.records.base import SystemClock
    from trimtab.wiring.labels import datasets_of

    now = args.until or SystemClock().now()
    documents = list[dict[str, Any]]()
    with place.lead():
        datasets = datasets_of(place, place.system)
        for name in names:
            notes = list[str]()
            found = _one(datasets, name, now, notes, quiet=args.json)
            if found.draft is not None:
                place.ledger.append_all([found.draft])
            documents.append(_document(name, found, notes))
            if not args.json:
                _tell(name, found, notes)
    if args.json:
        emit_json(documents)
    return 0


def _one(datasets: StoredDatasets, name: str, now: datetime, notes: list[str], *, quiet: bool) -> Collected:
    kept = 0
    with _bar(name, quiet=quiet) as bar:

        def told(taken: Taken) -> None:
            nonlocal kept
            kept = taken.added
            notes.extend(note for note in taken.notes if note not in notes)
            bar(taken)

        try:
            return datasets.collect_one(name, now, told)
        except TrimtabError:
            for note in notes:
                sys.stderr.write(f"{plain(note)}\n")
            if kept:
                sys.stderr.write(
                    f"{name}: {kept:,} new rows before that are kept; collecting again goes on from there\n"
                )
            raise


def _tell(name: str, found: Collected, notes: Sequence[str]) -> None:
    commit = found.commit
    if commit is None:
        say(f"{styled(name, 'bold')}: nothing new" + (f", {found.rows:,} rows" if found.rows else ""))
    else:
        same = f", {commit.same:,} were there already" if commit.same else ""
        version = commit.version.id[:10]
        say(f"{styled(name, 'bold')}: {found.added:,} new rows to {found.rows:,}{same}; version {version}")
        for reason, count in commit.refused.items():
            say(f"{count:,} refused: {plain(reason)} (`trimtab data quarantine {name}`)", indent=2)
        for change in commit.changes:
            say(f"{styled('!', 'yellow')} {plain(change.in_words)}", indent=2)
    for note in notes:
        say(f"{styled('!', 'yellow')} {plain(note)}", indent=2)


def _document(name: str, found: Collected, notes: Sequence[str]) -> dict[str, Any]:
    commit = found.commit
    return {
        "dataset": name,
        "version": commit.version.id if commit is not None else None,
        "rows": found.rows,
        "added": found.added,
        "same": commit.same if commit is not None else 0,
        "refused": commit.refused if commit is not None else {},
        "changes": commit.changes if commit is not None else [],
        "notes": list(notes),
    }


@contextmanager
def _bar(name: str, *, quiet: bool) -> Iterator[Any]:
    """What shows a step: a bar where a person looks and the end is known, a count of rows where it is not."""
    if quiet or not sys.stderr.isatty():
        yield lambda _taken: None
        return
    # Rich is imported here: no other verb pays for it.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[at]}"))
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, *times, console=Console(stderr=True, highlight=False), transient=True) as progress:
        task = progress.add_task(name, total=None, at="")

        def show(taken: Taken) -> None:
            at = f"{taken.rows:,} rows in {taken.pages:,} pages, {taken.added:,} new"
            total = 1.0 if taken.share is not None else None
            progress.update(task, completed=taken.share or 0.0, total=total, at=at)

        yield show
