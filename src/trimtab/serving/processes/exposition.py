"""Prometheus texts of several processes, or of several systems, as one.

Counters and histograms of the same labels are added; a gauge keeps apart what each process says, under a label: the
sum of uptimes or of generations would mean nothing. (Text format 0.0.4, as these servers write it: each family begins
with its `# HELP` and `# TYPE`.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_ADDED = frozenset(("counter", "histogram"))
Number = int | float


@dataclass(slots=True)
class Family:
    """One metric: its help, its kind, and its samples by name and labels (as they are written, without braces)."""

    meaning: str
    kind: str
    samples: dict[tuple[str, str], Number] = field(default_factory=dict)


Families = dict[str, Family]


def read_text(text: str) -> Families:
    """What a text says. Lines that are no samples of a family are passed over."""
    families: Families = {}
    meanings: dict[str, str] = {}
    current: Family | None = None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, _, meaning = line[7:].partition(" ")
            meanings[name] = meaning
        elif line.startswith("# TYPE "):
            name, _, kind = line[7:].partition(" ")
            current = families.setdefault(name, Family(meanings.get(name, ""), kind))
        elif current is not None and line and not line.startswith("#"):
            series, _, value = line.rpartition(" ")
            sample, _, labels = series.partition("{")
            try:
                number: Number = int(value) if value.lstrip("-").isdecimal() else float(value)
            except ValueError:
                continue
            current.samples[sample, labels.removesuffix("}")] = number
    return families


def write_text(families: Families) -> str:
    """The text of families."""
    lines: list[str] = []
    for name, family in families.items():
        lines += (f"# HELP {name} {family.meaning}", f"# TYPE {name} {family.kind}")
        for (sample, labels), value in family.samples.items():
            shown = f"{value}" if isinstance(value, int) else f"{value:.9g}"
            lines.append(f"{sample}{{{labels}}} {shown}" if labels else f"{sample} {shown}")
    return "\n".join(lines) + "\n"


def add_up(parts: Iterable[Families]) -> Families:
    """Counters and histograms of all parts, added; the gauges of none of them."""
    total: Families = {}
    for part in parts:
        _add(total, part)
    return total


def merge(parts: Mapping[str, Families], label: str, gone: Families | None = None) -> Families:
    """What all parts say together: counters and histograms added up, with those of `gone`; gauges under `label`, which
    tells whose they are."""
    total: Families = {}
    for name, part in parts.items():
        for family_name, family in part.items():
            if family.kind not in _ADDED:
                kept = total.setdefault(family_name, Family(family.meaning, family.kind))
                kept.samples |= _labelled(family, label, name).samples
            else:
                _add(total, {family_name: family})
    _add(total, gone or {})
    return total


def labelled(families: Families, label: str, value: str) -> Families:
    """The same under one more label."""
    return {name: _labelled(family, label, value) for name, family in families.items()}


def joined(parts: Iterable[Families]) -> Families:
    """Families of parts that have no series in common."""
    total: Families = {}
    for part in parts:
        for name, family in part.items():
            total.setdefault(name, Family(family.meaning, family.kind)).samples.update(family.samples)
    return total


def _add(total: Families, part: Families) -> None:
    for name, family in part.items():
        if family.kind not in _ADDED:
            continue
        samples = total.setdefault(name, Family(family.meaning, family.kind)).samples
        for key, value in family.samples.items():
            samples[key] = samples.get(key, 0) + value


def _labelled(family: Family, label: str, value: str) -> Family:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    pair = f'{label}="{escaped}"'
    samples = {
        (sample, f"{labels},{pair}" if labels else pair): number for (sample, labels), number in family.samples.items()
    }
    return Family(family.meaning, family.kind, samples)
