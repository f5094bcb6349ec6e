"""Points on disk while a training runs: frames that are appended, each whole or not there.

A frame is `TTP1`, the length of its payload and the payload's CRC-32 (both uint32, little endian), then the payload: a
msgpack record of columns. What a killed process left half written at the end is told by its length or its sum.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
import polars as pl

from trimtab.records.tracking import Fit

_HEAD = struct.Struct("<4sII")
_MAGIC = b"TTP1"
_SCHEMA = {"fit": pl.String, "name": pl.String, "step": pl.Int64, "value": pl.Float64, "at": pl.Int64}


class Frame(msgspec.Struct, frozen=True):
    """Points of one fit, in the order they were logged. `series` [points] uint32 indexes `names`; `steps` int64,
    `values` float64 and `at` int64 microseconds are as long, all as bytes. `attempt` counts the processes that wrote,
    one after another, from 1."""

    attempt: int
    fit: Fit
    names: list[str]
    series: bytes
    steps: bytes
    values: bytes
    at: bytes


_decode = msgspec.msgpack.Decoder(Frame)


def write_frame(file: BinaryIO, frame: Frame) -> None:
    """Append one frame with one write; `file` must not be buffered."""
    payload = msgspec.msgpack.encode(frame)
    file.write(_HEAD.pack(_MAGIC, len(payload), zlib.crc32(payload)) + payload)


def read_frames(path: Path) -> tuple[list[Frame], int]:
    """The whole frames of a file, and how many bytes they take; what follows them is torn. None where there is no
    file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return [], 0
    frames, at = [], 0
    while at + _HEAD.size <= len(content):
        magic, length, total = _HEAD.unpack_from(content, at)
        payload = content[at + _HEAD.size : at + _HEAD.size + length]
        if magic != _MAGIC or len(payload) < length or zlib.crc32(payload) != total:
            break
        frames.append(_decode.decode(payload))
        at += _HEAD.size + length
    return frames, at


def points_of(frames: Sequence[Frame]) -> pl.DataFrame:
    """The points by fit, name and step: fit, name, step, value, at (microseconds since 1970).

    A step that was logged again holds what was logged last. Where a later process began a series again, what earlier
    ones had logged from there on is gone: it was done over.
    """
    parts = [_part(frame) for frame in frames]
    if not parts:
        return pl.DataFrame(schema=_SCHEMA)
    points = pl.concat(parts)
    if points["attempt"].n_unique() > 1:
        begun = points.group_by("fit", "name", "attempt").agg(pl.col("step").min().alias("begun"))
        later = begun.join(begun, on=["fit", "name"], suffix="_later").filter(
            pl.col("attempt_later") > pl.col("attempt")
        )
        redone = later.group_by("fit", "name", "attempt").agg(pl.col("begun_later").min().alias("redone"))
        points = points.join(redone, on=["fit", "name", "attempt"], how="left", maintain_order="left")
        points = points.filter(pl.col("redone").is_null() | (pl.col("step") < pl.col("redone")))
    points = points.unique(["fit", "name", "step"], keep="last", maintain_order=True)
    return points.select(*_SCHEMA).sort("fit", "name", "step")


def _part(frame: Frame) -> pl.DataFrame:
    series = np.frombuffer(frame.series, dtype="<u4")
    return pl.DataFrame(
        {
            "name": pl.Series(frame.names, dtype=pl.String).gather(series),
            "step": np.frombuffer(frame.steps, dtype="<i8"),
            "value": np.frombuffer(frame.values, dtype="<f8"),
            "at": np.frombuffer(frame.at, dtype="<i8"),
        }
    ).with_columns(fit=pl.lit(frame.fit), attempt=pl.lit(frame.attempt))
