"""What the server and the process that reads a batch say to each other: msgpack, each message behind its length."""

from __future__ import annotations

from typing import BinaryIO

import msgspec

from trimtab.records.base import Record
from trimtab.records.model import Signature
from trimtab.serving.batch.formats import Format

LENGTH = 4


class Setup(Record, tag="setup", kw_only=True):
    """The first message, to the reader: the body is file descriptor `body`. `code` is the model's own (its features),
    `rows` how many go into one question, `needs_rows` whether a release must see rows as they came. `ids` and `times`
    name columns (empty: none). A batch may leave out the columns that are `optional`: the server looks them up by
    `entities`, columns that may stand beside the model's. `latest` is the last moment that a row may have, microseconds
    since 1970."""

    body: int
    sent: Format
    wanted: Format
    signature: Signature
    code: bytes
    entry: str
    rows: int
    needs_rows: bool
    optional: list[str] = msgspec.field(default_factory=list)
    entities: list[str] = msgspec.field(default_factory=list)
    ids: str
    times: str
    latest: int
    longest_row: int
    memory: int


class Ask(Record, tag="ask", kw_only=True):
    """From the reader: rows to be scored. `matrix` is float32, little-endian, row by row (empty: `rows` leave out what
    is to be looked up); `rows` JSON (empty: not needed); `ids` and `at` one a row (empty: none were given)."""

    count: int
    matrix: bytes
    rows: bytes = b""
    ids: list[str] = msgspec.field(default_factory=list)
    at: list[int] = msgspec.field(default_factory=list)


class Answered(Record, tag="answered", kw_only=True):
    """To the reader, one for each Ask: row by row the id, the score and label as JSON (no label: empty), and the place
    in `releases` (release and model) of the one that answered; or `error`, for a row that could not be scored."""

    ids: list[str]
    scores: list[bytes]
    labels: list[bytes]
    release: list[int]
    releases: list[tuple[str, str]]
    errors: dict[int, str] = msgspec.field(default_factory=dict)


class Told(Record, tag="told", kw_only=True):
    """From the reader: the next bytes of the answer."""

    data: bytes


class Refused(Record, tag="refused", kw_only=True):
    """From the reader, the last message: the batch cannot be read, or not on from here. `data` are bytes that tell so
    in the answer, where it has begun."""

    status: int
    message: str
    hint: str = ""
    more: dict[str, object] | None = None
    data: bytes = b""


class Done(Record, tag="done", kw_only=True):
    """From the reader, the last message: all rows are answered; `rows` of them, `errors` of which not."""

    rows: int
    errors: int


FromReader = Ask | Told | Refused | Done
ToReader = Setup | Answered
_ENCODER = msgspec.msgpack.Encoder()
FROM_READER = msgspec.msgpack.Decoder(FromReader)
TO_READER = msgspec.msgpack.Decoder(ToReader)


def packed(message: FromReader | ToReader) -> bytes:
    """A message as it goes through the pipe."""
    body = _ENCODER.encode(message)
    return len(body).to_bytes(LENGTH, "little") + body


def receive(pipe: BinaryIO) -> ToReader:
    """The next message to the reader. Raises EOFError when the server has gone."""
    length = int.from_bytes(_exactly(pipe, LENGTH), "little")
    message: ToReader = TO_READER.decode(_exactly(pipe, length))
    return message


def _exactly(pipe: BinaryIO, count: int) -> bytes:
    data = pipe.read(count)
    if len(data) < count:
        raise EOFError
    return data
