"""What is in the file of an image or a sound: its pixels, its samples, no more than it takes to measure them."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from trimtab.inference.tensors.images import ImageDecoder
from trimtab.inference.tensors.refused import InputError
from trimtab.records.tensors import ImageInput, TensorInput

_MOST_PIXELS = 4_000_000
_MOST_SECONDS = 300.0


def pixels_of(data: bytes, *, max_pixels: int) -> NDArray[np.uint8]:
    """The pixels [rows, columns, RGB] of an image, turned as it is seen. One of more than four million pixels is
    averaged to less. Raises InputError as the decoder does."""
    spec = ImageInput(layout="HWC", max_bytes=len(data), max_pixels=max_pixels)
    decoder = ImageDecoder(TensorInput(name="picture", datatype="UINT8", shape=(-1, -1, 3), image=spec))
    return _averaged(decoder.decode(data)[0])


def samples_of(data: bytes) -> tuple[NDArray[np.float32], int]:
    """The samples [n, channels] of the first five minutes of a sound, and how many there are a second. Raises
    InputError where it cannot be decoded, or holds what is no number."""
    import soundfile  # here: a source of tables never needs it

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            rate = int(file.samplerate)
            samples = file.read(round(_MOST_SECONDS * rate), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, ValueError, TypeError, MemoryError) as error:
        raise InputError(f"the sound is damaged: {type(error).__name__}") from error
    if not np.isfinite(samples).all():
        raise InputError("the sound has samples that are no numbers")
    return samples, rate


def _averaged(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with blocks of pixels averaged, so that no more than four million are left."""
    rows, columns, channels = pixels.shape
    by = int(np.ceil(np.sqrt(rows * columns / _MOST_PIXELS)))
    if by <= 1 or min(rows, columns) < by:
        return pixels
    whole = pixels[: rows // by * by, : columns // by * by]
    blocks = whole.reshape(rows // by, by, columns // by, by, channels)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32), np.uint8)
