"""A request for predictions, understood; and what every way of asking has in common."""

from __future__ import annotations

from asyncio import TimerHandle
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from time import perf_counter
from time import time as clock
from typing import Any, NamedTuple, Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

from trimtab.inference.columns import Cells
from trimtab.inference.explain.explainer import Explanation
from trimtab.inference.lookup.port import View
from trimtab.inference.postprocess_code import Named
from trimtab.inference.tensors.rows import Given
from trimtab.inference.tensors.sent import SentRow
from trimtab.serving.refusals import RefusalError
from trimtab.serving.routing.naming import ReleaseName
from trimtab.serving.routing.releases import Fleet, Release
from trimtab.serving.routing.rows_error import RowsError
from trimtab.serving.routing.shares import sticky_key
from trimtab.serving.routing.tensor_core import TensorCore
from trimtab.serving.telemetry.segments import micros

_LONGEST_ID = 200
_FEW = 8  # rows that are read faster one by one
AT_ONCE = 256  # rows that are encoded as they are read; more would keep the event loop for long


class Caller(Protocol):
    """Who asked: a connection of any protocol. `answer` or `refuse` is called, once, on the event loop."""

    @property
    def gone(self) -> bool:
        """Whether nobody is there any more to hear the answer."""
        ...

    def answer(self, status: int, body: bytes) -> None:
        """Sends an answer."""
        ...

    def refuse(self, error: RefusalError) -> None:
        """Sends a refusal."""
        ...


class FillsRows(Protocol):
    """What completes rows that leave features out: `needed` tells which of its `views` they leave out."""

    views: tuple[View, ...]

    def needed(self, rows: Sequence[Any], release: Release) -> list[View]:
        """The views that some row leaves out."""
        ...

    def optional(self, release: Release) -> set[str]:
        """The model's columns that need not be sent."""
        ...

    def entities(self) -> set[str]:
        """Columns that may be sent beside the model's own."""
        ...


class Answers:
    """What a micro-batch came to, row by row: `scores` as JSON texts (a multiclass row has its numbers joined by
    commas), `labels` as JSON texts (empty for regression) and the `releases` that answered; `named` are further outputs
    of each row, by name (None: no row has any). `values` are the scores as numbers, [rows] or [rows, classes], where
    one release answered all; the texts are made of them when somebody asks for texts."""

    __slots__ = ("_texts", "labels", "named", "releases", "values")

    def __init__(
        self,
        scores: list[bytes] | None,
        labels: list[bytes],
        releases: Sequence[ReleaseName],
        named: Named | None = None,
        values: NDArray[np.float32] | None = None,
    ) -> None:
        self._texts = scores
        self.labels = labels
        self.releases = releases
        self.named = named
        self.values = values

    @property
    def scores(self) -> list[bytes]:
        """As texts."""
        if self._texts is None:
            assert self.values is not None
            self._texts = score_texts(self.values)
        return self._texts

    def part(self, start: int, end: int) -> Answers:
        """Those of some rows."""
        named = None if self.named is None else self.named[start:end]
        values = None if self.values is None else self.values[start:end]
        texts = None if self._texts is None else self._texts[start:end]
        return Answers(texts, self.labels[start:end], self.releases[start:end], named, values)


def score_texts(values: NDArray[np.float32]) -> list[bytes]:
    """Scores [rows] or [rows, classes] as JSON, a text a row; empty ones for a model that has none."""
    if values.ndim > 1 and values.shape[1] == 0:
        return [b""] * len(values)
    text = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
    return text[1:-1].split(b",") if values.ndim == 1 else text[2:-2].split(b"],[")


class Explained(NamedTuple):
    """What explains the answers of one release to a question: the first of `places`, positions there, as far as the
    explanation goes. Rows that are in none were left."""

    release: Release
    places: Sequence[int]
    explanation: Explanation


Render = Callable[["Question", Answers, int], bytes]


class Question:
    """One request. `target` answers unless a canary takes the row (never when `pinned`); `rows` are kept only where a
    release needs them as they came, `matrix` is their encoding by `target` as bytes. `at` is microseconds, for all rows
    or each, None for the moment of arrival. `render` makes the body of the answer from position `offset` on.

    Rows that leave out what `lookups` can find wait, in `left_out`, to be completed. A question of tensors has
    `SentRow`s for rows, `weight` bytes of them, and no matrix.

    Who asks may also set `deadline` (as of `time.perf_counter`; what is not begun by then is not run), `sticky` (rows
    of one key meet the same release), `explain` (`explained` then tells why) and `who` (callers of one name share what
    may wait). `keys` are sticky keys, one a row, from the column that the routes name. The rest belongs to the batcher:
    `over` once an answer was given, `due` rows that are not scored yet, `parts` those that are, `mark` what makes two
    questions with own ids the same.
    """

    __slots__ = (
        "at", "caller", "count", "deadline", "due", "explain", "explained", "fleet", "given", "ids", "keys", "left_out",
        "lookups", "mark", "matrix", "outputs", "over", "parts", "pinned", "render", "request_id", "rows", "started",
        "sticky", "target", "timer", "weight", "who",
    )  # fmt: skip

    def __init__(self, caller: Caller, fleet: Fleet, target: Release, render: Render, started: float) -> None:
        self.caller = caller
        self.fleet = fleet
        self.target = target
        self.render = render
        self.started = started
        self.pinned = self.given = self.over = self.explain = False
        self.at: int | list[int] | None = None
        self.rows: Sequence[Any] | None = None
        self.matrix: bytes | None = None
        self.count = self.due = self.weight = 0
        self.ids: list[str] = []
        self.keys: list[str | None] | None = None
        self.lookups: FillsRows | None = None
        self.left_out: Sequence[View] = ()
        self.outputs: tuple[str, ...] | None = None
        self.explained: Sequence[Explained] = ()
        self.request_id: str | None = None
        self.sticky: str | None = None
        self.deadline: float | None = None
        self.timer: TimerHandle | None = None
        self.mark = b""
        self.who = ""
        self.parts: list[Any]  # from when rows of it are given to releases

    def ask(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Takes rows, encoding them at once where that is cheap. Raises RefusalError (422) for rows that do not fit."""
        self.count = len(rows)
        target, fleet = self.target, self.fleet
        if self.lookups is not None and self.lookups.views:
            self.left_out = self.lookups.needed(rows, target)
            if self.left_out:  # they are asked again once they are complete
                self.rows = rows
                return
        if fleet.canaries and fleet.canary_by:
            by = fleet.canary_by
            self.keys = [sticky_key(row.get(by)) if isinstance(row, dict) else None for row in rows]
        if target.encoder is None or self.count > AT_ONCE:
            self.rows = rows
            return
        try:
            self.matrix = target.matrix(rows).tobytes()
        except RowsError as error:
            raise RefusalError(422, error.message, hint=error.hint, more=error.more) from error
        if any(one.key != target.key for one in fleet.releases):
            self.rows = rows

    def ask_columns(self, columns: Mapping[str, Cells], count: int) -> None:
        """Takes rows as columns of `count` cells, without making rows of them where nobody needs them. Raises
        RefusalError (422) for cells that do not fit."""
        target, fleet = self.target, self.fleet
        encoder = target.column_encoder if count > _FEW else None
        sticky = fleet.canaries and fleet.canary_by
        if encoder is not None and not sticky and all(one.key == target.key for one in fleet.releases):
            matrix = encoder.matrix(columns, count)
            if matrix is not None:
                self.count, self.matrix = count, matrix.tobytes()
                return
        lists = [cells.tolist() if isinstance(cells, np.ndarray) else cells for cells in columns.values()]
        self.ask([dict(zip(columns, cells, strict=True)) for cells in zip(*lists, strict=True)])

    def ask_tensors(self, blocks: Sequence[Given], core: TensorCore, most: int) -> None:
        """Takes rows of tensors or files, checked as far as one can without decoding; `blocks` each hold rows of one
        shape, at least one row. Raises RefusalError: 413 over a limit, 415 for another format, 422 for what does not
        fit."""
        refuse_many(sum([len(next(iter(given.values()), ())) for given in blocks]), most)
        rows: list[SentRow] = []
        for given in blocks:
            try:
                rows += core.take(given)
            except RowsError as error:
                place = f"row {len(rows)}: " if len(blocks) > 1 else ""
                raise RefusalError(error.status, place + error.message, hint=error.hint) from error
        self.count, self.rows = len(rows), rows
        self.weight = sum([row.size for row in rows])

    @property
    def size(self) -> int:
        """Bytes that it takes while it waits, roughly."""
        if self.weight:
            return self.weight
        return len(self.matrix) if self.matrix is not None else self.count * (64 + 16 * self.target.width)

    def identify(self, ids: object, where: str) -> None:
        """The caller's own ids. Raises RefusalError (422) unless they are one for each row, all different."""
        if ids is None:
            return
        if not isinstance(ids, list) or len(ids) != self.count:
            found = f"{len(ids)}" if isinstance(ids, list) else type(ids).__name__
            raise RefusalError(422, f"{where}: expected a list of {self.count} ids, one a row, got {found}")
        for position, one in enumerate(ids):
            check_id(one, f"{where}[{position}]")
        if len(set(ids)) != len(ids):
            twice = Counter(ids).most_common(1)[0][0]
            raise RefusalError(422, f"{where}: id {twice!r} is given twice")
        self.ids = ids
        self.given = True

    def date(self, time: object, where: str, ahead: float) -> None:
        """When the rows happened: one moment, or one a row. Raises RefusalError (422) for one that cannot be."""
        if time is None:
            return
        now = clock()
        if not isinstance(time, list):
            self.at = read_moment(time, where, now, ahead)
        elif len(time) != self.count:
            raise RefusalError(422, f"{where}: expected {self.count} moments, one a row, got {len(time)}")
        else:
            self.at = [read_moment(one, f"{where}[{place}]", now, ahead) for place, one in enumerate(time)]

    def limit(self, timeout: object, unit: float, where: str) -> None:
        """The most time it may take, in parts of a second (`unit` of them), from when it came; of two limits the
        shorter holds, 0 means none. Raises RefusalError (422)."""
        if timeout is None:
            return
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 <= timeout < 1e15:
            raise RefusalError(422, f"{where}: expected a time, got {brief(timeout)}")
        if timeout:
            ends = self.started + timeout / unit
            self.deadline = ends if self.deadline is None else min(self.deadline, ends)

    def ask_why(self, explain: object, where: str) -> None:
        """Whether the answers are to be explained. Raises RefusalError (422)."""
        if explain is not None and not isinstance(explain, bool):
            raise RefusalError(422, f"{where}: expected true or false, got {brief(explain)}")
        self.explain = self.explain or bool(explain)

    def stick(self, key: object, where: str) -> None:
        """Whoever has the same key meets the same release. Raises RefusalError (422)."""
        if key is not None:
            self.sticky = check_id(key, where)


def time_is_up(question: Question) -> RefusalError:
    """What a caller is told who waited for as long as it said."""
    waited = perf_counter() - question.started
    return RefusalError(504, f"the request's time was up after {waited * 1e3:.0f} ms")


def check_id(value: object, where: str) -> str:
    """A prediction id. Raises RefusalError (422)."""
    if not isinstance(value, str) or not 1 <= len(value) <= _LONGEST_ID:
        raise RefusalError(422, f"{where}: expected a string of 1 to {_LONGEST_ID} characters, got {brief(value)}")
    return value


def read_moment(value: object, where: str, now: float, ahead: float) -> int:
    """Microseconds of an ISO 8601 moment with its offset, at most `ahead` seconds after `now` (seconds since 1970).
    Raises RefusalError (422)."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise RefusalError(422, f"{where}: expected an ISO 8601 moment with its offset, got {brief(value)}")
    stamp = micros(moment)
    if stamp < 0:
        raise RefusalError(422, f"{where}: {brief(value)} is before 1970")
    if stamp > (now + ahead) * 1e6:
        raise RefusalError(422, f"{where}: {brief(value)} is in the future", hint=f"at most {ahead:g} s ahead is taken")
    return stamp


def read_json(body: bytes | memoryview) -> Any:
    """The body as JSON. Raises RefusalError (400)."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        unknown = error.doc[error.pos : error.pos + 9].startswith(("NaN", "Infinity", "-Infinity"))
        hint = "JSON has no NaN and no Infinity: send null for a value that is not known" if unknown else ""
        raise RefusalError(400, f"the body is not JSON: {error}", hint=hint) from error


def brief(value: object) -> str:
    """A value as JSON, short enough for a message."""
    try:
        text = orjson.dumps(value).decode()
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def refuse_many(count: int, most: int) -> None:
    """Raises RefusalError unless there is at least one row (422) and at most `most` (413)."""
    if count == 0:
        raise RefusalError(422, "no rows: expected at least one")
    if count > most:
        raise RefusalError(
            413, f"{count:,} rows in one request: at most {most:,} are taken", hint="send fewer at a time"
        )
