"""The calls that a server answers, apart from how their bytes travel: each says what to send and how to read it."""

from __future__ import annotations

import uuid
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar
from urllib.parse import quote

import msgspec
import orjson

from trimtab.errors import PermanentError
from trimtab.records.server import ServerStatus
from trimtab.serving.client.answers import AnswerError, Explanation, Prediction, Truth
from trimtab.serving.client.wire import Answer

if TYPE_CHECKING:
    import polars as pl  # for types only: a caller with plain rows does not pay for it
    from numpy.typing import NDArray
    from typing_extensions import TypeIs

Time = datetime | Sequence[datetime] | None
T = TypeVar("T")
JSON = b"content-type: application/json\r\n"
_TRUTHS = 5000  # in one request; by default a server takes twice as many
_INDEX = "__index_level_"  # how pandas names its index in Arrow: no column of the model


class Table(Protocol):
    """A table of pandas, pyarrow or any library that hands out Arrow streams."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any: ...


class Call(NamedTuple, Generic[T]):
    """One request; `read` makes the result of its answer. `head` holds further header lines, each with its end."""

    method: bytes
    path: bytes
    body: bytes
    read: Callable[[Answer], T]
    head: bytes = b""


def understood(call: Call[T], answer: Answer, url: str) -> T:
    """The result of a call. Raises PermanentError for an answer that no prediction server gives."""
    try:
        return call.read(answer)
    except (ValueError, TypeError, LookupError, msgspec.MsgspecError) as error:
        raise PermanentError(
            f"{url} answers, but not as a prediction server does: {type(error).__name__}: {error}",
            hint="is it the address of `trimtab serve`?",
        ) from error


class Terms(NamedTuple):
    """How a request wants to be answered: within `timeout` seconds, with or without an explanation, by the release that
    others of its `sticky` key meet. `model` pins a version or a release, `system` names one of several (empty:
    the only one)."""

    timeout: float
    explain: bool = False
    sticky: str | None = None
    model: str | None = None
    system: str = ""

    def head(self) -> bytes:
        """The header line that tells the server when nobody waits any more."""
        return b"x-request-timeout-ms: %d\r\n" % max(1, round(1000 * self.timeout))


def is_matrix(rows: object) -> TypeIs[NDArray[Any]]:
    """Whether rows are a NumPy array; tells without importing NumPy."""
    return hasattr(rows, "__array_interface__")


def predict(
    rows: Sequence[Mapping[str, Any]] | pl.DataFrame | Table, ids: Sequence[str] | None, time: Time, terms: Terms
) -> Call[list[Prediction]]:
    """Predictions for rows. Each row gets an id here unless the caller gives one, so that it may be sent again."""
    plain = _plain_rows(rows)
    body: dict[str, object] = {"rows": plain, "ids": new_ids(len(plain)) if ids is None else list(ids)}
    if time is not None:
        body["time"] = time
    if terms.explain:
        body["explain"] = True
    if terms.sticky is not None:
        body["sticky_key"] = terms.sticky
    return Call(
        b"POST",
        plain_path("/predict", terms.system),
        to_json(body),
        _predictions,
        JSON + terms.head(),
    )


def frame_of(table: Any, what: str) -> pl.DataFrame:
    """A table of Polars, pandas, pyarrow or whatever hands out Arrow streams, as a Polars frame. Raises PermanentError
    for anything else; `what` names what was expected."""
    import polars as pl  # heavy: only where a table is sent

    if isinstance(table, pl.LazyFrame):
        return table.collect()
    if isinstance(table, pl.DataFrame):
        return table
    if not hasattr(table, "__arrow_c_stream__"):
        raise PermanentError(f"expected {what}, got {type(table).__name__}")
    try:
        found = pl.DataFrame(table)
    except Exception as error:  # the table's own library fails in its own ways
        raise PermanentError(f"the {type(table).__name__} cannot be read as a table: {error}") from error
    return found.select([name for name in found.columns if not name.startswith(_INDEX)])


def _plain_rows(rows: Any) -> Sequence[Any]:
    if isinstance(rows, Sequence):
        return rows
    if isinstance(rows, Mapping):
        raise PermanentError("expected a list of rows, got one mapping", hint="one row is a list of one: [row]")
    if hasattr(rows, "__next__"):
        return list(rows)
    return frame_of(rows, "a list of mappings by column, or a table").to_dicts()


def pieces(items: Truth | Sequence[Truth]) -> list[list[Truth]]:
    """Truths in as many requests as they take, the last first. Raises PermanentError for what is no truth."""
    told = [items] if isinstance(items, Truth) else list(items)
    for place, one in enumerate(told):
        if not isinstance(one, Truth):
            raise PermanentError(f"items[{place}]: expected a Truth, got {one!r:.60}", hint="Truth(id, truth)")
    return [told[low : low + _TRUTHS] for low in range(0, max(1, len(told)), _TRUTHS)][::-1]


def smaller(piece: list[Truth], error: AnswerError) -> list[list[Truth]]:
    """The halves of a piece that was too much for the server, the last first. Raises `error` where it was not that."""
    if error.status != 413 or len(piece) < 2:
        raise error
    middle = len(piece) // 2
    return [piece[middle:], piece[:middle]]


def feedback(items: Sequence[Truth], system: str) -> Call[list[str]]:
    """What became of predictions; gives the ids that the server never gave out."""
    told = []
    for one in items:
        item: dict[str, object] = {"id": one.id, "truth": one.truth}
        if one.time is not None:
            item["time"] = one.time
        told.append(item)
    return Call(b"POST", plain_path("/feedback", system), to_json({"items": told}), _unknown, JSON)


def metadata(system: str, model: str | None) -> Call[dict[str, Any]]:
    """What the model takes and gives, as the Open Inference Protocol tells it."""
    return Call(b"GET", model_path(system, model), b"", _plain)


def server() -> Call[dict[str, Any]]:
    """Name, version, extensions and system of the server."""
    return Call(b"GET", b"/v2", b"", _plain)


def status(system: str) -> Call[ServerStatus]:
    """What the server says about itself."""
    return Call(b"GET", plain_path("/trimtab/status", system), b"", _status)


def metrics() -> Call[str]:
    """The counters as Prometheus text."""
    return Call(b"GET", b"/metrics", b"", lambda answer: answer.body.decode())


def model_path(system: str, model: str | None, verb: str = "") -> bytes:
    """The address of a call of the system's model, or of one version of it."""
    version = "" if model is None else f"/versions/{quote(model, safe='')}"
    return f"/v2/models/{quote(system, safe='')}{version}{verb}".encode()


def plain_path(path: str, system: str) -> bytes:
    """An address that is Trimtab's own: of several systems in a server it ends with the name of one."""
    return f"{path}/{quote(system, safe='')}".encode() if system else path.encode()


def sole_system(told: dict[str, Any]) -> str:
    """The name of the only system of a server, from what it tells of itself. Raises PermanentError where there are
    several."""
    if "system" in told:
        return str(told["system"])
    names = ", ".join(told.get("systems", ()))
    raise PermanentError(f"this server has several systems: {names}", hint="name one: Client(url, system=...)")


def new_ids(count: int) -> list[str]:
    """Ids that nobody else has."""
    return [uuid.uuid4().hex for _ in range(count)]


def to_json(body: object) -> bytes:
    """The body as JSON; NumPy's numbers and arrays are taken, and bytes as base64. Raises PermanentError for what JSON
    cannot hold."""
    try:
        return orjson.dumps(body, _in_text, orjson.OPT_SERIALIZE_NUMPY)
    except orjson.JSONEncodeError as error:
        raise PermanentError(f"the request cannot be put into JSON: {error}") from error


def _in_text(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} is not serializable")


def _predictions(answer: Answer) -> list[Prediction]:
    found = []
    for one in orjson.loads(answer.body)["predictions"]:
        why = one.get("explanation")
        told = None if why is None else Explanation(**why)
        found.append(
            Prediction(
                one["id"], one.get("score"), one.get("label"), one["release"], one["model"], told, one.get("outputs")
            )
        )
    return found


def _unknown(answer: Answer) -> list[str]:
    unknown: list[str] = orjson.loads(answer.body)["unknown"]
    return unknown


def _plain(answer: Answer) -> dict[str, Any]:
    told: dict[str, Any] = orjson.loads(answer.body)
    return told


def _status(answer: Answer) -> ServerStatus:
    return msgspec.json.decode(answer.body, type=ServerStatus)
