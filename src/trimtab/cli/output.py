"""What verbs print: verdicts and lines for people, one JSON document for programs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from trimtab.cli import figures
from trimtab.cli.terminal import columns_of, plain, say, show_table, styled, width
from trimtab.records.requirement import Status, Verdict

STATUS_STYLE: dict[Status, str] = {"met": "green", "broken": "bold red", "unknown": "yellow"}
STATUS_MARK: dict[Status, str] = {"met": "✓", "broken": "✗", "unknown": "?"}


def emit_json(document: Any) -> None:
    """One JSON document, indented, with a closing newline."""
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
    sys.stdout.buffer.flush()


def show_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Verdicts as a table (mark, requirement with its limit, figure, interval, rows, where), how many there are of each
    status, and why those that are not met are not."""
    if not verdicts:
        say("nothing is required, so nothing can be broken")
        return
    rows = []
    for v in verdicts:
        style = STATUS_STYLE[v.status]
        name = f"{v.metric} {styled(figures.limit(v), 'dim')}"
        name += f" ({plain(v.slice)})" if v.slice else ""
        shown = figures.quantity(v.figure, v.unit, v.scale)
        found = styled(shown, style) if v.status == "broken" else shown
        evidence = [f"{v.rows:,}" if v.rows else "", v.place]
        rows.append([styled(STATUS_MARK[v.status], style), name, found, figures.interval(v), *evidence])
    columns = ["", "requirement", "figure", "95% interval", "rows", "at"]
    for leaves in ("rows", "95% interval"):  # the first to go where the terminal is too narrow for all of it
        if _wide(columns, rows) <= width():
            break
        spot = columns.index(leaves)
        columns = [name for i, name in enumerate(columns) if i != spot]
        rows = [[cell for i, cell in enumerate(row) if i != spot] for row in rows]
    show_table("", columns, rows, right=[columns.index(name) for name in ("figure", "rows") if name in columns])
    counts = Counter(v.status for v in verdicts)
    say(", ".join(styled(f"{counts[s]} {s}", STATUS_STYLE[s]) for s in STATUS_MARK if counts[s]))
    for v in verdicts:
        if v.status != "met" and v.reason:
            mark = styled(STATUS_MARK[v.status], STATUS_STYLE[v.status])
            say(f"{mark} {v.metric}: {plain(v.reason)}", indent=2)


def _wide(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    return sum(max(columns_of(cell) for cell in each) for each in zip(columns, *rows, strict=True)) + 2 * (
        len(columns) - 1
    )


def worst(verdicts: Iterable[Verdict]) -> int:
    """The exit code that verdicts come to: 1 when one is broken, else 0."""
    return int(any(v.status == "broken" for v in verdicts))
