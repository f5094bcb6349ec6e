"""The port for tools in which people label: what they are given, what they say, and what a tool promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from trimtab.errors import PermanentError
from trimtab.labels.spec import LabelsSpec
from trimtab.records.base import Record

Value = Any
"""What a label says, as JSON can hold it: the class (class); its classes in order (multi_label); a list of
{"label", "box": [x0, y0, x1, y1]} in shares of the picture (box); the text (transcript); the number (regression)."""


class LabelsError(PermanentError):
    """The labels, or the tool that keeps them, are not what they must be."""


class NotALabel(ValueError):  # noqa: N818 - it says what it is
    """A result that cannot be a label of the declared kind; the text says why."""


class Item(Record, kw_only=True):
    """One thing to label. `item` is its row's key; `shown` what annotators see; `guess` what the live model says of it,
    with its `score`, and `model` its name (all empty without one)."""

    item: str
    shown: dict[str, Any]
    guess: Value | None = None
    score: float | None = None
    model: str = ""


class Annotation(Record, kw_only=True):
    """What one annotator said of one item. `id` is the tool's own and stays when the annotator revises: `at` is the
    moment of this revision. `seconds` is how long it took. A refused one has its `reason` and what was said as it was
    `given`, and no value; so has one that was skipped or withdrawn."""

    id: str
    item: str
    annotator: str
    at: datetime
    state: Literal["said", "skipped", "refused", "withdrawn"] = "said"
    value: Value | None = None
    seconds: float | None = None
    reason: str = ""
    given: str = ""


class Pull(Record, kw_only=True):
    """What a tool had to say: every annotation of each item in `items`. `cursor` is handed to the next pull."""

    items: tuple[str, ...]
    annotations: tuple[Annotation, ...]
    cursor: str


class Push(Record, kw_only=True):
    """What became of items that were pushed: those the tool lacked, and those it had already."""

    added: int
    there: int
    where: str = ""


class LabelTool(Protocol):
    """A tool that shows items to people and keeps what they say.

    Guarantees an implementation gives:
    - `push` is idempotent by `Item.item`: pushing again, also after it was killed half way, leaves one task an item;
    - `pull` has no effect; it gives every annotation of each item that changed since the cursor (all for ""), also
      those that do not fit the declaration, as refused with their reason: nothing that was said is lost;
    - what cannot be reached raises TemporaryError, what is refused (a wrong token, no such project) PermanentError.
    """

    def push(self, items: Sequence[Item]) -> Push:
        """Make a task of every item that has none."""
        ...

    def pull(self, cursor: str = "") -> Pull:
        """What annotators said since the cursor."""
        ...


ToolOpener = Callable[[LabelsSpec, Path], LabelTool]
"""Opens the tool of a `[labels]` table; paths are relative to the folder of the declaration."""
