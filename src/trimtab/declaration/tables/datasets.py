"""`[[data]]`: where rows come from, what they mean, and what a valid one is."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Any

from trimtab.data.kinds import SourceKind, SourceKinds
from trimtab.data.sources.formats import format_of, nearest_ending
from trimtab.data.sources.media_options import CONTENT, MEDIA_KIND
from trimtab.data.spec import ColumnRule, DatasetSpec
from trimtab.declaration.paths import check_inside
from trimtab.declaration.problems import KeyPath, Problems, describe, did_you_mean
from trimtab.declaration.reading import Table
from trimtab.declaration.tables.card import read_licence
from trimtab.declaration.tables.options import read_options
from trimtab.declaration.tables.privacy import read_personal, read_population
from trimtab.declaration.tables.references import read_references, read_trusted
from trimtab.declaration.tables.replay import zone
from trimtab.errors import DeclarationError

_SOURCE_HINT = 'write "python:module:function", or a path or glob of .csv, .json, .ndjson, .parquet or .arrow files'
_RULE_HINT = 'write "0 .. 6000", "0 ..", ".. 6000", ["one", "two"] or "/^pattern$/"'
_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"(?P<low>{_NUMBER})?\s*\.\.\s*(?P<high>{_NUMBER})?", re.ASCII)
_COMPARED = re.compile(r"(?P<left>`[^`]+`|[^<>=!]+?)\s*(?P<sign>[<>=!]+)\s*(?P<right>.+)")
_COLUMN = re.compile(r"`[^`]+`|[^\W\d][\w.]*")
_OPERAND = re.compile(rf"{_COLUMN.pattern}|{_NUMBER}|\"[^\"]*\"|'[^']*'")
_SIGNS = ("<=", "<", ">=", ">", "==", "!=")
# The engine that checks patterns runs in linear time and therefore knows neither of these.
_UNSUPPORTED = re.compile(r"\(\?(?:=|!|<=|<!|>)|\\[1-9]")


def read_dataset(table: Table, folder: str, kinds: SourceKinds) -> DatasetSpec | None:
    """One `[[data]]` table; None when something it cannot do without is missing (the problems are recorded)."""
    problems = table.problems
    name = table.name("name") if table.require("name", '"flights"') else None
    source = table.text("source") if table.require("source", '"python:sources:flights"') else None
    if source is not None:
        _check_source(problems, table.key("source"), folder, source, kinds)
    options = read_options(table, source, _kind(source, kinds))
    key = table.texts("key", '["origin", "hour"]') if table.require("key", '"flight_id"') else None
    time = table.text("time") if table.require("time", '"scheduled_departure"') else None
    label = table.text("label")
    spans: dict[str, Any] = {
        name: span
        for name in ("label_delay", "predict_before")
        if (span := table.duration(name, '"8 h"', zero=True)) is not None
    }
    if "label" not in table.values and not table.misspelt("label"):
        for given in spans:
            problems.add(
                table.key(given), "has no meaning without a label", hint="a dataset without one feeds features"
            )
    if label is not None and key is not None and label in (*key, time):
        problems.add(table.key("label"), f'"{label}" is also the key or the time')
    timezone = table.text("timezone", '"America/New_York"')
    if timezone is not None:
        with problems.at(table.key("timezone")):
            zone(timezone)
    valid = _rules(table)
    consistent = _comparisons(table, "consistent", '["departure <= arrival"]')
    plausible = _comparisons(table, "plausible", '["speed <= 350"]')
    references, trusted = read_references(table), read_trusted(table)
    recorded = table.text("recorded", '"received_at"')
    late = table.duration("late", '"1 d"', zero=True)
    media = table.texts("media", '["content"]') or ((CONTENT,) if _kind(source, kinds) is MEDIA_KIND else ())
    changes = table.one_of("changes", ("refuse", "replace"))
    personal = read_personal(table, time, label, media) | {"population": read_population(table)}
    schema_changes = table.one_of("schema_changes", ("accept", "refuse"))
    encoding, delimiter = _encoding(table), table.text("delimiter", '";"') or ""
    licence = read_licence(table)
    if len(delimiter.encode()) > 1:
        problems.add(table.key("delimiter"), f'"{delimiter}" is not one character', hint="write ; or | or \\t")
    table.close()
    if name is None or source is None or key is None or time is None:
        return None
    return DatasetSpec(
        name=name,
        source=source,
        key=key,
        time=time,
        label=label,
        timezone=timezone,
        valid=valid,
        consistent=consistent,
        late=late or 0.0,
        options=options,
        media=media,
        changes="replace" if changes == "replace" else "refuse",
        plausible=plausible,
        references=references,
        trusted=trusted,
        recorded=recorded,
        schema_changes=schema_changes or "",  # type: ignore[arg-type]
        encoding=encoding,
        delimiter=delimiter,
        licence=licence,
        line=table.line,
        **spans,
        **personal,
    )


def parse_rule(column: str, found: object) -> ColumnRule:
    """What a valid cell of a column is: a range, a list of allowed texts, or a pattern between slashes."""
    if isinstance(found, list):
        if not found or not all(isinstance(item, str | int | float) for item in found):
            raise DeclarationError(f"expected a list of texts or numbers, found {describe(found)}", hint=_RULE_HINT)
        return ColumnRule(column=column, allowed=tuple(map(_spelt, found)))
    if not isinstance(found, str):
        raise DeclarationError(f"expected a range, a list or a pattern, found {describe(found)}", hint=_RULE_HINT)
    text = found.strip()
    if len(text) > 2 and text[0] == "/" and text[-1] == "/":
        return ColumnRule(column=column, pattern=_pattern(text[1:-1]))
    match = _RANGE.fullmatch(text)
    if match is None or match["low"] is match["high"] is None:
        raise DeclarationError(f'"{text}" is neither a range nor a pattern', hint=_RULE_HINT)
    low, high = (float(bound) if bound is not None else None for bound in (match["low"], match["high"]))
    if low is not None and high is not None and low > high:
        raise DeclarationError(f'"{text}" is empty: {match["low"]} is above {match["high"]}')
    return ColumnRule(column=column, low=low, high=high)


def parse_comparison(text: str) -> str:
    """One line of `consistent`: a column, a sign, and a column or a literal (number, true, false, quoted text).

    Gives the line with single spaces. DeclarationError when it is none. Only the form is looked at here: the data
    stage compares, and knows the columns.
    """
    match = _COMPARED.fullmatch(text.strip())
    if match is None:
        raise DeclarationError(f'"{text}" is no comparison of a column', hint='write "departure <= arrival"')
    if match["sign"] not in _SIGNS:
        meant = {"=": "==", "=>": ">=", "=<": "<=", "<>": "!="}.get(match["sign"])
        raise DeclarationError(
            f'"{match["sign"]}" is not a comparison' + (f'; did you mean "{meant}"?' if meant else ""),
            hint=f"allowed: {' '.join(_SIGNS)}",
        )
    left, right = match["left"], match["right"]
    for side, form in ((left, _COLUMN), (right, _OPERAND)):
        if not form.fullmatch(side):
            raise DeclarationError(
                f'"{text}": cannot read "{side}"',
                hint="write one column (in backticks if it has other letters than a-z, digits, _ and .) or a literal",
            )
    if left.strip("`") == right.strip("`"):
        raise DeclarationError(f'"{text}" compares a column with itself')
    return f"{left} {match['sign']} {right}"


def _spelt(item: str | float) -> str:
    """An allowed value as text: the data stage reads it as the column's type."""
    return str(item).lower() if isinstance(item, bool) else str(item)


def _pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise DeclarationError(f'"/{pattern}/" is not a regular expression: {error}') from error
    unsupported = _UNSUPPORTED.search(pattern)
    if unsupported:
        raise DeclarationError(
            f'"/{pattern}/" uses "{unsupported.group()}"', hint="look-around and back-references are not supported"
        )
    return pattern


def _rules(table: Table) -> tuple[ColumnRule, ...]:
    rules = []
    for column, found in (table.table("valid") or {}).items():
        with table.problems.at(table.key("valid", column)):
            rules.append(parse_rule(column, found))
    return tuple(rules)


def _comparisons(table: Table, key: str, example: str) -> tuple[str, ...]:
    parsed = []
    for position, text in enumerate(table.texts(key, example) or ()):
        with table.problems.at(table.key(key, position)):
            parsed.append(parse_comparison(text))
    return tuple(parsed)


def _kind(source: str | None, kinds: SourceKinds) -> SourceKind | None:
    """The kind of a source that has a scheme of its own, where there is one."""
    form = format_of(source or "")
    if form is not None and form.kind in ("image", "sound"):
        return MEDIA_KIND
    head, colon, _ = (source or "").partition(":")
    return kinds.find(head.partition("+")[0]) if colon and "/" not in head and head != "python" else None


def _check_source(problems: Problems, key: KeyPath, folder: str, source: str, kinds: SourceKinds) -> None:
    head, colon, rest = source.partition(":")
    kind = _kind(source, kinds)
    if kind is MEDIA_KIND:
        check_inside(problems, key, source)
        return
    if kind is not None:
        return  # it is checked together with its options
    if head == "python":
        _check_python(problems, key, folder, source)
    elif colon and "/" not in head:
        near = did_you_mean(head, ("python", *kinds.names()))
        what = (
            f'"{head}://" is not a source that can be read' if rest.startswith("//") else f'"{head}:" is not a source'
        )
        problems.add(key, what + near, hint=_SOURCE_HINT)
    elif format_of(source) is None:
        near = nearest_ending(source)
        meant = f", did you mean .{near}?" if near else ""
        problems.add(key, f'"{source}" is of no format that can be read{meant}', hint=_SOURCE_HINT)
    else:
        check_inside(problems, key, source)


def _encoding(table: Table) -> str:
    name = table.text("encoding", '"latin-1"')
    if name is None:
        return ""
    try:
        return codecs.lookup(name).name
    except LookupError:
        known = ("utf-8", "utf-16", "latin-1", "cp1252", "cp1250", "shift_jis", "gb18030", "iso8859-15")
        meant = did_you_mean(name, known)
        table.problems.add(
            table.key("encoding"), f'"{name}" is no encoding{meant}', hint=f"for example {', '.join(known)}"
        )
        return ""


def _check_python(problems: Problems, key: KeyPath, folder: str, source: str) -> None:
    parts: list[Any] = source.split(":")
    if len(parts) != 3 or not all(name.isidentifier() for name in (*parts[1].split("."), parts[2])):
        problems.add(key, f'"{source}" does not name a module and its function', hint='write "python:sources:flights"')
        return
    module = Path(folder).joinpath(*parts[1].split("."))
    if not module.with_suffix(".py").is_file():
        near = did_you_mean(module.name, sorted(file.stem for file in module.parent.glob("*.py")))
        problems.add(key, f'there is no module "{parts[1]}"{near}', hint=f"looked for {module.name}.py in {folder}")
