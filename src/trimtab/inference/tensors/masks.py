"""Masks in files: pictures whose pixels are class numbers."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.inference.tensors.refused import InputError

_MOST_PIXELS = 100_000_000


def mask_of(data: bytes) -> NDArray[np.uint8]:
    """The class number of each pixel [height, width] of a PNG with one channel of 8 bits, or with a palette, whose
    places are the numbers. Raises InputError for any other file, PermanentError where Pillow is missing."""
    try:
        from PIL import Image  # here: only systems with masks need it
    except ImportError as error:
        raise PermanentError(
            "masks are read by Pillow, which is not installed", hint="pip install 'trimtab[media]'"
        ) from (error)
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            _check(image)
            return np.array(image, dtype=np.uint8)
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"the mask is no PNG that can be read: {' '.join(str(error).split())[:200]}") from error


def _check(image: Any) -> None:
    wide, high = image.size
    if wide * high > _MOST_PIXELS:
        raise InputError(f"the mask has {wide:,} x {high:,} pixels; at most {_MOST_PIXELS:,}", why="too_large")
    if image.mode not in ("L", "P", "1"):
        raise InputError(
            f"the mask is a PNG of mode {image.mode}; expected one channel of 8 bits, or a palette",
            hint="a pixel's value is the number of its class",
        )
