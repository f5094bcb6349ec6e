"""A folder of images or sounds: one row a file, with what it says of itself, and its content."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from blake3 import blake3

from trimtab.data.port import PAGE_BYTES, UNREAD, Page, in_one_frame
from trimtab.data.sources.formats import Kind
from trimtab.data.sources.listing import Found, listed
from trimtab.data.sources.media_options import CONTENT, MediaOptions
from trimtab.data.sources.seen import Memory, Seen
from trimtab.data.sources.sidecar import Sidecar, mark_of
from trimtab.data.spec import DatasetSpec
from trimtab.data.values.times import UTC_TIME, from_text, naive_error
from trimtab.inference.media.contents import pixels_of, samples_of
from trimtab.inference.media.images import describe_image
from trimtab.inference.media.sounds import describe_sound
from trimtab.inference.tensors.refused import InputError
from trimtab.measures.media.images import image_figures
from trimtab.measures.media.sounds import sound_figures

_BOTH: dict[str, pl.DataType] = {
    "path": pl.String(), "folder": pl.String(), "digest": pl.String(), "bytes": pl.Int64(), "format": pl.String(),
    "modified": UTC_TIME, CONTENT: pl.Binary(), UNREAD: pl.String(),
}  # fmt: skip
_OF_IMAGES: dict[str, pl.DataType] = {
    "width": pl.Int64(), "height": pl.Int64(), "channels": pl.Int64(), "orientation": pl.Int64(), "taken": pl.String(),
}  # fmt: skip
_OF_SOUNDS: dict[str, pl.DataType] = {"duration": pl.Float64(), "sample_rate": pl.Int64(), "channels": pl.Int64()}
_LOOKS: dict[str, pl.DataType] = {
    **dict.fromkeys(("aspect", "brightness", "contrast", "sharpness", "entropy"), pl.Float64()), "hash": pl.String(),
}  # fmt: skip
_SOUNDS: dict[str, pl.DataType] = dict.fromkeys(("rms", "peak", "loudness", "snr", "clipping", "silence"), pl.Float64())
_DIGITS = {"%Y": r"(?P<Y>\d{4})", **{f"%{letter}": rf"(?P<{letter}>\d{{2}})" for letter in "mdHMS"}}
_MOST_FILES = 2_000


class MediaSource:
    """Each file once, until its content, its time or what the sidecar says of it changes. One that cannot be read is
    refused with the reason; one that cannot be read yet, because it was written to a moment ago, is left for later."""

    def __init__(self, spec: DatasetSpec, folder: Path, kind: Kind, *, page_bytes: int = PAGE_BYTES) -> None:
        self._spec, self._folder, self._page_bytes = spec, folder, page_bytes
        self._options = msgspec.convert(spec.options, MediaOptions)
        self._kind = kind
        self._pattern = _pattern(self._options.name_pattern)

    def expect(self, schema: Mapping[str, pl.DataType]) -> None:
        """Every column has its type."""

    def fetch(self, since: datetime | None, until: datetime) -> pl.DataFrame:
        """All rows of the span at once, with their contents."""
        return in_one_frame(self, since, until, time=self._spec.time)

    def pages(self, cursor: str, since: datetime | None, until: datetime) -> Iterator[Page]:
        """Rows of the files that have not been read, or have changed."""
        del since
        upto = round(until.timestamp() * 1e6)
        sidecar = Sidecar(self._spec, self._folder, self._options.sidecar)
        beside = self._options.sidecar.rpartition("/")[0]
        files, memory = listed(self._spec, self._folder), Memory(cursor)
        notes = list[str]()
        if gone := memory.forget_all_but([found.name for found in files]):
            notes.append(f"{gone} files that were read before are gone; their rows stay")
        whole, behind, size = max(1, sum(found.size for found in files)), 0, 0
        rows = list[dict[str, Any]]()
        for found in files:
            behind += found.size
            cells = sidecar.of(found.name, beside)
            mark = found.mark + mark_of(cells)
            seen = memory.of(found.name)
            if seen is not None and seen.mark == mark and (seen.later is None or seen.later > upto):
                continue
            row = self._row(found, cells)
            if row is None:
                continue  # it went away
            if row[UNREAD] is not None and found.fresh:
                notes.append(f"{found.name} is left for later: {row[UNREAD]}, and it was written to a moment ago")
                continue
            moment = row[self._spec.time] = _instant(row.pop("_moment"), self._spec)
            at = round(moment.timestamp() * 1e6) if moment is not None else None
            later = at if at is not None and at > upto else None
            memory.put(found.name, Seen(mark=mark, done=True, later=later))
            if later is not None:
                continue
            rows.append(row)
            size += len(row[CONTENT] or b"")
            if size >= self._page_bytes or len(rows) >= _MOST_FILES:
                yield Page(self._frame(rows, sidecar), memory.cursor, behind / whole, tuple(notes))
                rows, size, notes = [], 0, []
        if rows or notes or memory.cursor != cursor:
            yield Page(self._frame(rows, sidecar), memory.cursor, 1.0, tuple(notes))

    def _row(self, found: Found, cells: dict[str, Any]) -> dict[str, Any] | None:
        row: dict[str, Any] = {**cells, "path": found.name, "folder": found.place.rpartition("/")[0].rpartition("/")[2]}
        row["bytes"] = found.size
        row |= {CONTENT: None, UNREAD: None, "_moment": None}
        try:
            row["modified"] = datetime.fromtimestamp(os.stat(found.place).st_mtime, UTC)  # noqa: PTH116 - many thousands of files
            data = self._bytes(found)
            row["digest"] = blake3(data).hexdigest()
            row |= self._facts(data)
            row[CONTENT] = data
        except FileNotFoundError:
            return None
        except InputError as error:
            row[UNREAD] = error.message
        except OSError as error:
            row[UNREAD] = f"the file cannot be read: {error.strerror}"
        row["_moment"] = self._moment(row, found)
        if self._spec.label is not None and not self._options.sidecar:
            row.setdefault(self._spec.label, row["folder"])
        return row

    def _bytes(self, found: Found) -> bytes:
        if found.size > self._options.max_bytes:
            raise InputError(f"the file has {found.size:,} bytes; at most {self._options.max_bytes:,}")
        with open(found.place, "rb") as file:  # noqa: PTH123 - many thousands of files
            return file.read()

    def _facts(self, data: bytes) -> dict[str, Any]:
        if self._kind == "image":
            image = describe_image(data, max_pixels=self._options.max_pixels)
            facts: dict[str, Any] = {
                "format": image.format, "width": image.width, "height": image.height, "channels": image.channels,
                "orientation": image.orientation, "taken": image.taken,
            }  # fmt: skip
            if self._options.measured:
                looks = image_figures(pixels_of(data, max_pixels=self._options.max_pixels))
                facts |= {name: getattr(looks, name) for name in _LOOKS}
            return facts
        sound = describe_sound(data, max_seconds=self._options.max_length)
        facts = {
            "format": sound.format, "duration": sound.duration, "sample_rate": sound.rate, "channels": sound.channels,
        }  # fmt: skip
        if self._options.measured:
            heard = sound_figures(*samples_of(data))
            facts |= {name: getattr(heard, name) for name in _SOUNDS}
        return facts

    def _moment(self, row: dict[str, Any], found: Found) -> datetime | str | None:
        """When it happened; a time without a zone is text still."""
        chosen = self._options.time_from
        if chosen == "name":
            match = self._pattern.search(found.path.name) if self._pattern is not None else None
            if match is None:
                return None
            part = {"H": "00", "M": "00", "S": "00"} | match.groupdict()
            return f"{part['Y']}-{part['m']}-{part['d']}T{part['H']}:{part['M']}:{part['S']}"
        taken: str | None = row.get("taken")
        if chosen == "exif" or (chosen is None and taken is not None):
            return taken
        modified: datetime = row["modified"]
        return modified

    def _frame(self, rows: list[dict[str, Any]], sidecar: Sidecar) -> pl.DataFrame:
        image = self._kind == "image"
        own = _BOTH | (_OF_IMAGES if image else _OF_SOUNDS)
        if self._options.measured:
            own |= _LOOKS if image else _SOUNDS
        schema = {**sidecar.types, **own, self._spec.time: UTC_TIME}
        if self._spec.label is not None:
            schema.setdefault(self._spec.label, pl.String())
        for row in rows:
            if row[UNREAD] is not None:
                row[UNREAD] = msgspec.json.encode({CONTENT: row[UNREAD]}).decode()
        if not rows:
            return pl.DataFrame()
        frame = pl.DataFrame(rows, schema=schema, orient="row")
        return frame if frame.get_column(UNREAD).null_count() < frame.height else frame.drop(UNREAD)


def _pattern(text: str) -> re.Pattern[str] | None:
    if not text:
        return None
    parts = re.split(r"(%[YmdHMS])", text)
    return re.compile("".join(_DIGITS.get(part, re.escape(part)) for part in parts))


def _instant(moment: datetime | str | None, spec: DatasetSpec) -> datetime | None:
    if not isinstance(moment, str):
        return moment
    found = pl.select(from_text(pl.lit(moment), spec.timezone)).item()
    if found is None and spec.timezone is None and pl.select(from_text(pl.lit(moment), "UTC")).item() is not None:
        raise naive_error(spec, spec.time)
    assert found is None or isinstance(found, datetime)
    return found
