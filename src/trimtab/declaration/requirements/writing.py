"""What could be declared, as lines of a declaration: written so that the loader reads the same back."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.data.spec import ColumnRule
from trimtab.declaration.requirements.grammar import format_requirement, quoted
from trimtab.records.requirement import Requirement


def rule_text(rule: ColumnRule) -> str:
    """What stands behind the column of a rule in `valid`."""
    if rule.allowed:
        return f"[{', '.join(map(quoted, rule.allowed))}]"
    if rule.pattern:
        return quoted(f"/{rule.pattern}/")
    low = _number(rule.low) if rule.low is not None else ""
    high = _number(rule.high) if rule.high is not None else ""
    return quoted(f"{low} .. {high}".strip())


def dataset_lines(valid: Sequence[ColumnRule], consistent: Sequence[str]) -> list[str]:
    """Lines for a `[[data]]` table; the tables that they make come last, for other keys to stand in front."""
    lines = []
    if consistent:
        lines += ["consistent = [", *(f"  {quoted(line)}," for line in consistent), "]"]
    if valid:
        lines += ["[data.valid]", *(f"{_key(rule.column)} = {rule_text(rule)}" for rule in valid)]
    return lines


def requirement_lines(requirements: Sequence[Requirement]) -> list[str]:
    """Lines for `[requirements]`: several limits on one metric become a list."""
    by_metric: dict[str, list[str]] = {}
    for requirement in requirements:
        written = format_requirement(requirement)
        metric, _, entry = written.partition(" = ")
        by_metric.setdefault(metric, []).append(entry)
    lines = []
    for metric, entries in by_metric.items():
        if len(entries) == 1:
            lines.append(f"{metric} = {entries[0]}")
        else:
            lines += [f"{metric} = [", *(f"  {entry}," for entry in entries), "]"]
    return lines


def _key(name: str) -> str:
    return name if name.replace("_", "").isascii() and name.replace("_", "").isalnum() else quoted(name)


def _number(value: float) -> str:
    return f"{value:.12g}"
