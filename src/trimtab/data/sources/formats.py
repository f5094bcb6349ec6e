"""What a file's name says of its content: the format, and the compression around it."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

Kind = Literal["csv", "json", "ndjson", "parquet", "arrow", "image", "sound"]
Compression = Literal["", "gzip", "zstd"]

ENDINGS: dict[str, Kind] = {
    "csv": "csv", "tsv": "csv", "parquet": "parquet", "pq": "parquet",
    "json": "json", "ndjson": "ndjson", "jsonl": "ndjson", "arrow": "arrow", "feather": "arrow", "ipc": "arrow",
    "jpg": "image", "jpeg": "image", "png": "image", "webp": "image", "bmp": "image",
    "wav": "sound", "flac": "sound", "ogg": "sound", "mp3": "sound",
}  # fmt: skip
_COMPRESSIONS: dict[str, Compression] = {"gz": "gzip", "zst": "zstd"}


@dataclass(frozen=True)
class Format:
    """What lies in a file, and what it is wrapped in."""

    kind: Kind
    compression: Compression = ""


def format_of(name: str) -> Format | None:
    """The format that the end of a file's name or of a glob stands for; None for one that is not known."""
    parts = name.lower().rsplit("/", 1)[-1].split(".")
    compression: Compression = _COMPRESSIONS.get(parts[-1], "")
    if compression:
        parts.pop()
    kind = ENDINGS.get(parts[-1]) if len(parts) > 1 else None
    return Format(kind, compression) if kind is not None else None


def nearest_ending(name: str) -> str:
    """The known ending that is most like the one of this name; empty where none is."""
    ending = name.lower().removesuffix(".gz").removesuffix(".zst").rsplit(".", 1)[-1]
    near = get_close_matches(ending, ENDINGS, n=1, cutoff=0.5)
    return near[0] if near else ""
