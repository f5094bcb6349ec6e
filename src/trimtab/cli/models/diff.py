"""`trimtab models diff`: what tells two models apart, and which requirements moved with it."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from trimtab.cli.arguments import UsageError
from trimtab.cli.figures import limit, number, quantity
from trimtab.cli.models.beside import show_beside
from trimtab.cli.models.find import SHORT, expect, figure, find, releases
from trimtab.cli.output import STATUS_MARK, STATUS_STYLE, emit_json
from trimtab.cli.terminal import plain, say, show_table, styled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.loop.trials.apart import Apart, FileDiff, OnSameRows
    from trimtab.records.requirement import Verdict
    from trimtab.records.slices import WeakSlice
    from trimtab.wiring.place import Place

_LINES = 60
_COLUMNS = 3
_FAR = 0.05
"""A distance (Kolmogorov-Smirnov, or total variation) from which on a column is said to have moved."""
_WORDS = {"better": "green", "worse": "red"}


def run(place: Place, words: list[str], args: argparse.Namespace) -> int:
    """Do the action."""
    expect(words, 1, 2, "diff [SYSTEM] A [B]")
    import msgspec

    from trimtab.wiring.apart import apart

    live = releases(place).live
    if len(words) == 1 and live is None:
        raise UsageError("nothing is live to compare with", hint="name both models")
    second = words[1] if len(words) == 2 else live.release if live else ""
    if show_beside(place, words[0], second, args):
        return 0
    found = apart(place, find(place, words[0]), find(place, second), datetime.now(UTC))
    if args.json:
        told = msgspec.to_builtins(found)
        moved = [{**r, "moved": one.moved} for r, one in zip(told["requirements"], found.requirements, strict=True)]
        emit_json({**told.pop("models"), **told, "requirements": moved})
        return 0
    models = found.models
    say(f"{models.a[:SHORT]} to {models.b[:SHORT]}")
    for title, changes in (
        ("code", [*map(_summary, found.files)] or list(models.code)),
        ("params", models.params),
        ("data", [*models.data, *_versions(found)]),
        ("with", models.environment),
    ):
        for i, change in enumerate(changes or ("the same",)):
            say(f"{title if not i else '':<9}{plain(change)}", indent=11)
    say()
    _requirements(found)
    show_weak(found.weak, found.weak_metric, found.rate, "the second is worse")
    for file in found.files:
        _file(file)
    return 0


def show_weak(slices: Sequence[WeakSlice], metric: str, rate: float, title: str) -> None:
    """A table of weak slices; nothing without any."""
    if not slices:
        return
    rows = [
        [f"+{number(s.effect)}", f"{number(s.low)}..{number(s.high)}", f"{s.rows:,}", plain(s.in_words)] for s in slices
    ]
    show_table("", (f"worse by, {_name(metric)}", "interval", "rows", f"where {title}"), rows, right=(0, 2))
    say(f"found on half of the days and confirmed on the others; of what is told {rate:.0%} is expected to be chance")
    say()


def _requirements(found: Apart) -> None:
    same = {p.metric: p for p in found.others}
    rows = []
    for r in found.requirements:
        verdict = r.after or r.before
        assert verdict is not None
        of = f" ({plain(verdict.slice)})" if verdict.slice else ""
        moved = _paired(r.paired) or (styled("moved", "yellow") if r.moved else "")
        rows.append([f"{r.metric} {styled(limit(verdict), 'dim')}{of}", _shown(r.before), _shown(r.after), moved])
    required = {r.metric for r in found.requirements}
    for m in found.models.metrics:
        if "|" not in m.metric and m.metric not in required:
            told = _paired(same.get(m.metric)) or (styled("moved", "yellow") if m.moved else "")
            rows.append([m.metric, f"  {figure(m.before)}", f"  {figure(m.after)}", told])
    if rows:
        show_table("", ("requirement", "before", "after", "on the same rows"), rows)
    shared = found.shared
    if shared.reason:
        say(f"nothing was compared on the same rows: {plain(shared.reason)}")
    elif shared.since is not None and shared.until is not None:
        say(
            f"the same rows: {shared.rows:,} that neither was fitted on, {shared.since:%Y-%m-%d} to "
            f"{shared.until:%Y-%m-%d}; 95% intervals, above zero the second is better"
        )
    if not found.models.same_rows:
        say("before and after were measured on their own rows: they may move with the rows")
    say()


def _shown(verdict: Verdict | None) -> str:
    if verdict is None:
        return "  -"
    mark = styled(STATUS_MARK[verdict.status], STATUS_STYLE[verdict.status])
    return f"{mark} {quantity(verdict.figure, verdict.unit, verdict.scale)}"


def _paired(found: OnSameRows | None) -> str:
    if found is None:
        return ""
    if found.reason:
        return plain(found.reason)
    sign = "+" if found.difference >= 0 else ""
    said = f"{sign}{number(found.difference)} ({number(found.low)}..{number(found.high)})"
    word = "" if found.verdict == "no_difference" else f" {styled(found.verdict, _WORDS[found.verdict])}"
    return said + word


def _summary(file: FileDiff) -> str:
    if not file.unified:
        return f"{file.path} changed"
    return f"{file.path}: {file.added} {'line' if file.added == 1 else 'lines'} added, {file.removed} removed"


def _versions(found: Apart) -> list[str]:
    told: list[str] = []
    for name, v in found.versions.items():
        counts = [(v.added, "added"), (v.removed, "removed"), (v.changed, "changed")]
        said = ", ".join(f"{count:,} {word}" for count, word in counts if count) or "none moved"
        told.append(f"rows of {name}: {said}, {v.same:,} the same")
        if v.labels_changed:
            told.append(f"{v.labels_changed:,} of the changed rows of {name} have another label")
        told += [f"column {column} of {name} added" for column in v.columns_added]
        told += [f"column {column} of {name} removed" for column in v.columns_removed]
        far = [f"{m.column} by {m.distance:.2f}" for m in v.movement[:_COLUMNS] if m.distance >= _FAR]
        if far:
            told.append(f"moved the most in {name}: {', '.join(far)}")
    return told


def _file(file: FileDiff) -> None:
    say(styled(file.path, "bold"))
    styles = {"+": "green", "-": "red", "@": "dim"}
    for line in file.unified[:_LINES]:
        say(f"  {styled(plain(line), styles.get(line[:1], '')) if line[:1] in styles else plain(line)}", indent=4)
    if len(file.unified) > _LINES:
        say(f"  {len(file.unified) - _LINES} more lines: --json has all")
    if not file.unified:
        say("  no text")
    say()


def _name(metric: str) -> str:
    return metric.partition(".")[2]
