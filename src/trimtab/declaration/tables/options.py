"""`[data.options]`: what is declared of an outside source beyond its name, read by the kind's own record of options."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from trimtab.data.kinds import SourceKind
from trimtab.declaration.problems import describe
from trimtab.declaration.reading import Table
from trimtab.declaration.units import parse_quantity
from trimtab.records.base import Record


def read_options(table: Table, source: str | None, kind: SourceKind | None) -> dict[str, Any]:
    """The options of a `[[data]]` table that were declared, in base units; what is wrong is recorded.

    Sources that are no kind of their own (files, functions) have none.
    """
    values = table.table("options")
    if values is None and (kind is None or "options" in table.values):
        return {}
    options = Table(table.problems, table.key("options"), values or {})
    if kind is None:
        if source is not None:
            options.problems.add(options.path, "has no meaning for this source", hint="files and functions have none")
        return {}
    if kind.options is None:
        return dict(options.values)
    before = len(table.problems.found)
    found = {field.name: value for field in msgspec.structs.fields(kind.options)
             if (value := _read(options, field)) is not None}  # fmt: skip
    options.close("option")
    if len(table.problems.found) == before and source is not None:
        with table.problems.at(options.path if values is not None else table.key("source")):
            kind.check(source, given(kind.options, found))
    return found


def given(options: type[Record], found: dict[str, Any]) -> Record:
    """The record of options that were declared, with its defaults for the others."""
    return msgspec.convert(found, options)


def _read(table: Table, field: msgspec.structs.FieldInfo) -> Any:
    name = field.name
    if field.required and not table.require(name, _EXAMPLES.get(field.type, '"..."')):
        return None
    unit, plain, least = _parts(field.type)
    if unit is not None:
        return _quantity(table, name, unit)
    if plain is int:
        return table.integer(name, least)
    if get_origin(plain) is Literal:
        return table.one_of(name, get_args(plain))
    readers: dict[Any, Callable[[str], Any]] = {tuple: table.texts, dict: partial(_texts_by_name, table)}
    readers[bool] = table.flag
    return readers.get(get_origin(plain) or plain, table.text)(name)


_EXAMPLES: dict[Any, str] = {int: "1000", bool: "true"}


def _parts(found: Any) -> tuple[str | None, Any, int]:
    """The family of units of an option's type, the bare type, and the least whole number."""
    unit, least = None, 1
    if get_origin(found) in (Union, UnionType):
        (found,) = (part for part in get_args(found) if part is not NoneType)
    if hasattr(found, "__metadata__"):
        for meta in found.__metadata__:
            unit = (meta.extra or {}).get("unit", unit)
            least = meta.ge if meta.ge is not None else least
        found = found.__origin__
    return unit, found, int(least)


def _quantity(table: Table, name: str, unit: str) -> float | None:
    if unit == "time":
        return table.duration(name, '"10 s"')
    if unit == "size":
        return table.size(name, '"64 MiB"')
    text = table.text(name, '"5 /s"')
    if text is not None:
        with table.problems.at(table.key(name)):
            rate = parse_quantity(text, "rate")[0]
            if rate > 0:
                return rate
            table.wrong(name, "a rate above zero", hint=f'write {name} = "5 /s"')
    return None


def _texts_by_name(table: Table, name: str) -> dict[str, str] | None:
    found = table.table(name)
    if found is None:
        return None
    for key, value in found.items():
        if not isinstance(value, str) or not value:
            table.problems.add(table.key(name, key), f"expected a text, found {describe(value)}")
            return None
    return dict(found)
