"""Image files to tensors: one way for training and for serving, and safe with whatever a caller sends.

Nothing is decoded before its format, bytes, pixels and frames are known from its head and within their limits.
"""

from __future__ import annotations

import io
import math
import re
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.inference.tensors.datatypes import DTYPES
from trimtab.inference.tensors.placing import Fit, Placed, place
from trimtab.inference.tensors.refused import InputError
from trimtab.records.tensors import ImageFormat, ImageInput, TensorInput

if TYPE_CHECKING:
    from PIL.Image import Image

_ORIENTATION = 0x0112  # the EXIF tag
_LONGEST_SIDE = 65_500
_MOST_SCANS = 100  # a progressive JPEG has about ten; thousands cost minutes for a few kilobytes
_SCAN = re.compile(rb"\xff\xda\x00[\x08\x0a\x0c\x0e\x10]")
_PIXELS = re.compile(r"\((\d+) pixels\)")  # in Pillow's own refusal, which comes first for the very largest
_KNOWN = ((b"GIF8", "GIF"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"%PDF", "PDF"), (b"<svg", "SVG"))


class ImageDecoder:
    """Turns files into rows of one tensor. Safe to call from several threads. Raises PermanentError where the
    declaration contradicts itself, or Pillow is missing."""

    def __init__(self, tensor: TensorInput) -> None:
        assert tensor.image is not None
        self._spec = spec = tensor.image
        _check(tensor, spec)
        try:
            # Here: a server of tables never needs it. The plugins are named, or the first odd file loads all of them.
            import PIL
            from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin  # noqa: F401
            from PIL import Image as Pillow
        except ImportError as error:
            raise PermanentError(
                f"input {tensor.name!r} takes images, and Pillow is not installed", hint="pip install 'trimtab[media]'"
            ) from error
        self._pillow = Pillow
        self._unknown = PIL.UnidentifiedImageError
        turns = Pillow.Transpose
        self._turns = {
            2: turns.FLIP_LEFT_RIGHT, 3: turns.ROTATE_180, 4: turns.FLIP_TOP_BOTTOM, 5: turns.TRANSPOSE,
            6: turns.ROTATE_270, 7: turns.TRANSVERSE, 8: turns.ROTATE_90,
        }  # fmt: skip
        self._filter = Pillow.Resampling[spec.filter.upper()]
        self._dtype = DTYPES[tensor.datatype]
        self._mean = np.array(spec.mean or (0.0,), np.float32)
        self._std = np.array(spec.std or (1.0,), np.float32)
        self._plain = spec.scale == 1.0 and not spec.mean and not spec.std

    def look(self, data: bytes | memoryview) -> ImageFormat:
        """The file's format, found in its first bytes. Raises InputError for a format or size that is not taken."""
        spec = self._spec
        found = sniff(data)
        if found not in spec.formats:
            what = f"the image is {found}" if found else "these bytes are no image that can be read"
            raise InputError(f"{what}; expected {', '.join(spec.formats)}", why="unsupported")
        if len(data) > spec.max_bytes:
            raise InputError(f"the image has {len(data):,} bytes; at most {spec.max_bytes:,}", why="too_large")
        return found

    def decode(self, data: bytes | memoryview) -> tuple[NDArray[Any], Placed]:
        """The row's tensor and how it lies on the picture. Raises InputError naming what is wrong and the limit."""
        name = self.look(data)
        try:
            return self._decode(bytes(data), name)
        except InputError:
            raise
        except self._pillow.DecompressionBombError as error:
            found = _PIXELS.search(str(error))
            pixels = f"{int(found[1]):,}" if found else "too many"
            limit = f"at most {self._spec.max_pixels:,}"
            raise InputError(f"the image has {pixels} pixels; {limit}", why="too_large") from error
        except self._unknown as error:  # whose own words tell an address in memory
            raise InputError(f"the {name} image is damaged: its head cannot be read") from error
        # The decoders raise what they like for a damaged file (a warning too, where a program makes it an error).
        except (OSError, SyntaxError, ValueError, IndexError, TypeError, KeyError, EOFError, struct.error) as error:
            raise InputError(f"the {name} image is damaged: {' '.join(str(error).split())[:200]}") from error
        except (ArithmeticError, MemoryError, AttributeError, RuntimeError, Warning) as error:
            raise InputError(f"the {name} image cannot be decoded: {type(error).__name__}") from error

    def _decode(self, data: bytes, name: ImageFormat) -> tuple[NDArray[Any], Placed]:
        spec = self._spec
        if name == "JPEG" and too_many_scans(data):
            raise InputError(f"the JPEG image has more than {_MOST_SCANS} scans", why="too_large")
        with self._pillow.open(io.BytesIO(data), formats=(name,)) as image:
            wide, high = image.size
            if wide * high > spec.max_pixels or max(wide, high) > _LONGEST_SIDE:
                raise InputError(
                    f"the image has {wide:,} x {high:,} pixels; at most {spec.max_pixels:,}", why="too_large"
                )
            frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # MPO: a camera's thumbnails follow
            if frames > spec.max_frames:
                raise InputError(f"the image has {frames:,} frames; at most {spec.max_frames:,}", why="too_large")
            turn = self._orientation(image)
            seen = (high, wide) if turn >= 5 else (wide, high)
            if image.format in ("JPEG", "MPO"):
                self._halve(image, seen)
            image.load()
            picture = image.transpose(self._turns[turn]) if turn in self._turns else image.copy()
        fit = place(spec, *seen)
        return self._tensor(self._fitted(self._colored(picture), fit)), fit.placed

    def _orientation(self, image: Image) -> int:
        """How the camera was held, 1 to 8: from 5 on the picture lies on its side."""
        try:
            return int(image.getexif().get(_ORIENTATION, 1))
        except Exception:  # its metadata is damaged, the picture is not: it stays as it lies
            return 1

    def _halve(self, image: Image, seen: tuple[int, int]) -> None:
        """Lets the decoder itself halve a large photo, to no less than twice what is wanted: nobody sees that."""
        if self._spec.size is None:
            return
        rows, columns = self._spec.size
        ratio = 2 * max(columns / seen[0], rows / seen[1])
        image.draft(None, (math.ceil(image.width * ratio), math.ceil(image.height * ratio)))

    def _colored(self, picture: Image) -> Image:
        if picture.mode.startswith("I;16") or picture.mode == "I":
            # 16 bits a pixel: the upper ones. Pillow's own conversion would cut at 255.
            picture = self._pillow.fromarray((np.asarray(picture).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
        if picture.mode == "P" and "transparency" in picture.info:
            picture = picture.convert("RGBA")
        wanted = "L" if self._spec.colors == "L" else "RGB"
        return picture if picture.mode == wanted else picture.convert(wanted)

    def _fitted(self, picture: Image, fit: Fit) -> Image:
        wide, high = picture.width / fit.placed.width, picture.height / fit.placed.height  # below 1: it was halved
        box = (fit.box[0] * wide, fit.box[1] * high, fit.box[2] * wide, fit.box[3] * high)
        if picture.size != fit.size or box != (0.0, 0.0, *picture.size):
            picture = picture.resize(fit.size, self._filter, box=box)
        if self._spec.size is None or fit.size == (self._spec.size[1], self._spec.size[0]):
            return picture
        canvas = self._pillow.new(picture.mode, self._spec.size[::-1], (self._spec.fill,) * len(picture.getbands()))
        canvas.paste(picture, fit.offset)
        return canvas

    def _tensor(self, picture: Image) -> NDArray[Any]:
        spec = self._spec
        pixels = np.asarray(picture)
        if pixels.ndim == 2:
            pixels = pixels[:, :, None]
        if spec.colors == "BGR":
            pixels = pixels[:, :, ::-1]
        if not self._plain:
            pixels = (pixels.astype(np.float32) * np.float32(spec.scale) - self._mean) / self._std
        if spec.layout == "CHW":
            pixels = pixels.transpose(2, 0, 1)
        return np.ascontiguousarray(pixels, self._dtype)


def too_many_scans(data: bytes) -> bool:
    """Whether a JPEG file is made to keep a decoder busy."""
    return sum(1 for _ in _SCAN.finditer(data)) > _MOST_SCANS


def sniff(data: bytes | memoryview) -> str:
    """The format that the first bytes tell, empty when they tell none that is known."""
    head = bytes(data[:32])
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith(b"BM") and len(head) >= 26:
        return "BMP"
    if head[4:8] == b"ftyp":
        brand = head[8:12].decode("latin-1")
        return {"avif": "AVIF", "heic": "HEIC", "heix": "HEIC", "mif1": "HEIF"}.get(brand, "")
    return next((name for magic, name in _KNOWN if head.startswith(magic)), "")


def _check(tensor: TensorInput, spec: ImageInput) -> None:
    channels = 1 if spec.colors == "L" else 3
    sides = spec.size or (-1, -1)
    expected = (channels, *sides) if spec.layout == "CHW" else (*sides, channels)
    here = f"input {tensor.name!r}"
    given = tensor.shape
    if len(given) != 3 or any(g not in (-1, e) for g, e in zip(given, expected, strict=True) if e != -1):
        raise PermanentError(f"{here}: an image gives {list(expected)}, and its shape is {list(given)}")
    if spec.size is None and any(g != -1 for g, e in zip(given, expected, strict=True) if e == -1):
        raise PermanentError(f"{here}: its shape {list(given)} is fixed", hint="name the `size` of its image")
    if spec.size is not None and not all(0 < side <= _LONGEST_SIDE for side in spec.size):
        raise PermanentError(f"{here}: size {list(spec.size)} is none")
    if tensor.datatype not in ("UINT8", "FP16", "FP32"):
        raise PermanentError(f"{here}: an image becomes UINT8, FP16 or FP32, not {tensor.datatype}")
    if any(len(those) not in (0, channels) for those in (spec.mean, spec.std)) or 0.0 in spec.std:
        raise PermanentError(f"{here}: `mean` and `std` need one number for each of {channels} channels, std above 0")
    changed = spec.scale != 1.0 or spec.mean or spec.std
    if tensor.datatype == "UINT8" and changed:
        raise PermanentError(f"{here}: UINT8 takes pixels as they are", hint="leave out scale, mean and std")
    if not math.isfinite(spec.scale) or not 0 <= spec.fill <= 255:
        raise PermanentError(f"{here}: scale is a finite number and fill a pixel from 0 to 255")
