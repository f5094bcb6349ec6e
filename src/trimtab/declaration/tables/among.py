"""`[model.search] among`: settings of `[model]` itself that candidates may differ in."""

from __future__ import annotations

from trimtab.declaration.paths import check_file
from trimtab.declaration.problems import did_you_mean
from trimtab.declaration.reading import Table
from trimtab.training.spec import Dimension

_SETTINGS = ("code", "window", "seed")
_EXAMPLE = 'among = { code = ["trees.py", "linear.py"], window = ["60 d", "all"] }'
_MOST_SEED = 2**32 - 1


def read_among(table: Table, folder: str) -> list[Dimension]:
    """A dimension called `model.<setting>` for each setting; its choices as `[model]` keeps them, a window in seconds
    (0: all rows)."""
    entries = table.table("among") or {}
    own = Table(table.problems, table.key("among"), entries)
    found: list[Dimension] = []
    for name, entry in entries.items():
        key = own.key(name)
        if name not in _SETTINGS:
            wrong = f"is no setting that candidates may differ in{did_you_mean(name, _SETTINGS)}"
            table.problems.add(key, wrong, hint=f"they are {', '.join(_SETTINGS)}")
            continue
        choices = _choices(own, name, entry, folder)
        if not choices:
            table.problems.add(key, "names no choices that fit", hint=f"write {_EXAMPLE}")
        else:
            found.append(Dimension(name=f"model.{name}", choices=choices))
    return found


def _choices(table: Table, name: str, entry: object, folder: str) -> tuple[object, ...]:
    if not isinstance(entry, list) or not entry:
        return ()
    if name == "seed":
        fits = all(isinstance(each, int) and not isinstance(each, bool) and 0 <= each <= _MOST_SEED for each in entry)
        return tuple(entry) if fits else ()
    if not all(isinstance(each, str) for each in entry):
        return ()
    if name == "code":
        for position, each in enumerate(entry):
            check_file(table.problems, table.key(name, position), folder, each)
        return tuple(entry)
    spans = []
    for position, each in enumerate(entry):
        if each == "all":
            spans.append(0.0)
            continue
        one = Table(table.problems, table.key(name, position), {"window": each}).duration("window", '"60 d", or "all"')
        if one is None:
            return ()
        spans.append(one)
    return tuple(spans)
