"""What an image file says of itself, and whether it can be read to its end."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trimtab.errors import PermanentError
from trimtab.inference.tensors.images import sniff, too_many_scans
from trimtab.inference.tensors.refused import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
_ORIENTATION, _TAKEN, _DETAILS, _OFFSET = 0x0112, 0x9003, 0x8769, 0x9011
_SMALL = 64
_LONGEST_SIDE = 65_500


@dataclass(frozen=True)
class ImageFacts:
    """Width and height in pixels as the picture is seen, with the EXIF orientation (1 to 8) applied; the channels that
    are stored, and when it was taken, as EXIF has it: `2026-01-31T12:00:00`, with an offset where the camera knew one.
    """

    format: str
    width: int
    height: int
    channels: int
    orientation: int
    taken: str | None


_TELLS = frozenset(("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif", "Raw profile type APP1"))
"""What Pillow finds orientation and moment in; asking for them where there is none of it takes as long as decoding."""


def describe_image(data: bytes, *, max_pixels: int) -> ImageFacts:
    """Look at a file, and decode it once to see that it is whole. Raises InputError naming what is wrong and the limit,
    PermanentError where Pillow is missing."""
    try:
        from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin  # noqa: F401
        from PIL import Image as Pillow
    except ImportError as error:
        raise PermanentError("images cannot be read without Pillow", hint="pip install 'trimtab[media]'") from error
    if not data:
        raise InputError("the file is empty")
    name = sniff(data)
    if name not in FORMATS:
        what = f"the image is {name}" if name else "these bytes are no image that can be read"
        raise InputError(f"{what}; expected {', '.join(FORMATS)}", why="unsupported")
    if name == "JPEG" and too_many_scans(data):
        raise InputError("the JPEG image has more scans than any camera makes", why="too_large")
    try:
        with Pillow.open(io.BytesIO(data), formats=(name,)) as image:
            wide, high = image.size
            _within(wide, high, max_pixels)
            channels = len(image.getbands())
            if image.format in ("JPEG", "MPO"):
                image.draft(None, (_SMALL, _SMALL))  # its decoder may leave out most of the work
            image.load()  # first: a PNG file may tell its metadata behind the pixels
            orientation, taken = _exif(image) if _TELLS.intersection(image.info) else (1, None)
    except InputError:
        raise
    except Pillow.DecompressionBombError as error:
        raise InputError(f"the image has too many pixels; at most {max_pixels:,}", why="too_large") from error
    # The decoders raise what they like for a damaged file (a warning too, where a program makes it an error).
    except (OSError, SyntaxError, ValueError, IndexError, TypeError, KeyError, EOFError, struct.error) as error:
        raise InputError(f"the {name} image is damaged: {' '.join(str(error).split())[:200]}") from error
    except (ArithmeticError, MemoryError, AttributeError, RuntimeError, Warning) as error:
        raise InputError(f"the {name} image cannot be decoded: {type(error).__name__}") from error
    if orientation >= 5:
        wide, high = high, wide
    return ImageFacts(name, wide, high, channels, orientation, taken)


def _within(wide: int, high: int, most: int) -> None:
    if wide * high > most or max(wide, high) > _LONGEST_SIDE:
        raise InputError(f"the image has {wide:,} x {high:,} pixels; at most {most:,}", why="too_large")


def _exif(image: Image) -> tuple[int, str | None]:
    """Orientation, and the moment of taking; what is damaged counts as not there: the picture is not."""
    try:
        tags = image.getexif()
        orientation = int(tags.get(_ORIENTATION, 1))
        details: dict[int, Any] = dict(tags.get_ifd(_DETAILS))
    except Exception:  # whatever its metadata makes the library do
        return 1, None
    text = str(details.get(_TAKEN, "")).strip(" \0")
    day, _, clock = text.partition(" ")
    taken = f"{day.replace(':', '-')}T{clock}" if len(text) == len("2026:01:31 12:00:00") and day[:1] != "0" else None
    offset = str(details.get(_OFFSET, "")).strip(" \0")
    if taken is not None and len(offset) == len("+01:00"):
        taken += offset
    return (orientation if 1 <= orientation <= 8 else 1), taken
