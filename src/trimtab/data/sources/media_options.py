"""`[data.options]` of a folder of images or sounds."""

from __future__ import annotations

from typing import Literal

from trimtab.data.kinds import Duration, Size, SourceKind
from trimtab.errors import DeclarationError
from trimtab.records.base import Record

CONTENT = "content"
"""The column with the bytes of a file: a version's row holds their digest, the bytes lie beside the rows."""
_FIELDS = ("%Y", "%m", "%d")


class MediaOptions(Record, kw_only=True):
    """When a file's row happened: as the camera noted it (`exif`), as its name says (`name`, read by `name_pattern`,
    where %Y %m %d %H %M %S stand for digits), or when it was last written to (`modified`); left out, the first of exif
    and modified that there is. `sidecar` is a CSV, NDJSON or JSON file beside the declaration with a column `path` and
    more columns of the same files; without one the label is the name of the file's folder. With `measured` the figures
    of each file's look or sound are columns too. Limits hold for each file.
    """

    time_from: Literal["exif", "name", "modified"] | None = None
    name_pattern: str = ""
    sidecar: str = ""
    measured: bool = False
    max_bytes: Size = 64 * 2**20
    max_pixels: int = 100_000_000
    max_length: Duration = 3600.0


def check_media(_source: str, options: MediaOptions) -> None:
    """DeclarationError for options that do not fit together."""
    if (options.time_from == "name") != bool(options.name_pattern):
        raise DeclarationError(
            '`time_from = "name"` and `name_pattern` belong together',
            hint='for example name_pattern = "IMG_%Y%m%d_%H%M%S"',
        )
    missing = [field for field in _FIELDS if options.name_pattern and field not in options.name_pattern]
    if missing:
        raise DeclarationError(f"`name_pattern` has no {' and no '.join(missing)}")


MEDIA_KIND = SourceKind(options=MediaOptions, check=check_media)
"""What a declaration may say of such a source."""
