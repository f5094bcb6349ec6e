"""What kinds of outside sources there are, as far as a declaration is checked against them: names and options.

The options of a kind are the fields of a record. Their types say how they are written in a declaration:
`Duration` as "10 s", `Size` as "64 MiB", `Rate` as "5 /s", `Literal` as one of its words; texts, lists of texts
(`tuple[str, ...]`), tables of texts (`dict[str, str]`), whole numbers and flags as themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from trimtab.records.base import Record

Duration = Annotated[float, msgspec.Meta(extra={"unit": "time"})]
"""Seconds."""
Size = Annotated[int, msgspec.Meta(extra={"unit": "size"})]
"""Bytes."""
Rate = Annotated[float, msgspec.Meta(extra={"unit": "rate"})]
"""How often a second."""


class NoOptions(Record, kw_only=True):
    """The options of a kind that has none."""


@dataclass(frozen=True)
class SourceKind:
    """One kind of source: what may be declared of it, and what is wrong with it.

    `check` is given the text of `source` and the options, and raises DeclarationError; `options` None stands for a
    kind that checks them itself when it is opened.
    """

    options: type[Record] | None = NoOptions
    check: Callable[[str, Any], None] = lambda _source, _options: None


@dataclass(frozen=True)
class SourceKinds:
    """The kinds that can be had: `find` by what stands before the first colon of a source, without what follows a plus
    (`sql+sqlite://...` is of the kind `sql`). `trackers` names the experiment trackers that can be had (None: that is
    not known)."""

    find: Callable[[str], SourceKind | None] = lambda _name: None
    names: Callable[[], Sequence[str]] = tuple
    trackers: Callable[[], Sequence[str]] | None = None
