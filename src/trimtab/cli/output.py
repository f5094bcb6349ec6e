"""What verbs print: tables and lines for people, one JSON document for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from rich.console import Console

    from trimtab.records.requirement import Verdict

STATUS_STYLE = {"met": "green", "broken": "bold red", "unknown": "yellow"}
STATUS_MARK = {"met": "✓", "broken": "✗", "unknown": "?"}


def console() -> Console:
    """The terminal. Rich is imported here so that `--json` does not pay for it."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False)


def emit_json(document: Any) -> None:
    """One JSON document, indented, with a closing newline."""
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
    sys.stdout.buffer.flush()


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Sequence[int] = ()) -> None:
    """A plain table that fits 80 columns; `right` are the positions to align to the right."""
    from rich import box
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, title_style="bold")
    for position, name in enumerate(columns):
        table.add_column(name, justify="right" if position in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console().print(table)


def figure(value: float | None, unit: str = "", scale: float = 1.0) -> str:
    """A figure in the unit the user declared; a dash when there is none."""
    if value is None:
        return "-"
    shown = f"{value / scale:,.3g}" if abs(value / scale) < 1000 else f"{value / scale:,.0f}"
    return f"{shown}{'' if unit in ('', '%') else ' '}{unit}"


def show_verdicts(title: str, verdicts: Sequence[Verdict]) -> None:
    """Verdicts as a table: mark, requirement, figure with interval, rows, where."""
    rows = []
    for v in verdicts:
        style = STATUS_STYLE[v.status]
        span = "" if v.low is None or v.high is None else f"{figure(v.low, '', v.scale)}..{figure(v.high, '', v.scale)}"
        name = f"{v.metric}[dim] {v.slice}[/]" if v.slice else v.metric
        rows.append(
            (
                f"[{style}]{STATUS_MARK[v.status]} {v.status}[/]",
                name,
                f"{v.comparison} {figure(v.limit, v.unit, v.scale)}",
                figure(v.figure, v.unit, v.scale),
                span,
                f"{v.rows:,}" if v.rows else "",
                v.place,
            )
        )
    show_table(title, ("", "requirement", "limit", "figure", "95% interval", "rows", "at"), rows, right=(3, 5))


def worst(verdicts: Iterable[Verdict]) -> int:
    """The exit code that verdicts come to: 1 when one is broken, else 0."""
    return int(any(v.status == "broken" for v in verdicts))
