"""The port for other tools' suites of checks: to and from rules and requirements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from trimtab.data.spec import ColumnRule, DatasetSpec
from trimtab.records.base import Record
from trimtab.records.requirement import Requirement


class Note(Record, kw_only=True):
    """What is not the same on the other side: `left out` altogether, or said there with a difference (`differs`)."""

    what: str
    kind: Literal["left out", "differs"]
    why: str


class Exported(Record, kw_only=True):
    """A suite as its tool reads it, and what it does not say, or says otherwise."""

    suite: dict[str, Any]
    notes: tuple[Note, ...]


class Imported(Record, kw_only=True):
    """What a suite comes to: rules of the dataset, requirements, and what neither can say."""

    valid: tuple[ColumnRule, ...]
    consistent: tuple[str, ...]
    requirements: tuple[Requirement, ...]
    notes: tuple[Note, ...]


class Suites(Protocol):
    """A tool whose suites are read and written. Nothing is ever dropped in silence: each check of one side is on the
    other, or has a note. No package of the tool is needed."""

    def exported(
        self, spec: DatasetSpec, requirements: tuple[Requirement, ...], types: Mapping[str, str], name: str
    ) -> Exported:
        """The suite called `name` that says what the dataset's rules and the `data.` requirements say.

        `types` tells of each column whether it is a "number", "text", "time", "boolean" or "other".
        """
        ...

    def imported(self, suite: Mapping[str, Any], key: tuple[str, ...]) -> Imported:
        """What a suite says of a dataset with this key. Raises PermanentError where it is no suite."""
        ...
