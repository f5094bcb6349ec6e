"""Real files for the tests: pictures, sounds, and bombs that are made rather than found."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from trimtab.records.tensors import AudioInput, ImageInput, TensorInput


def picture(height: int = 60, width: int = 80, seed: int = 0) -> np.ndarray:
    """A smooth picture [height, width, 3] without symmetry, so that lossy formats come close."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    planes = [np.sin(x / 17 + seed) + y / height, np.cos(y / 11) + x / width, np.sin((x + 2 * y) / 29)]
    stacked = np.stack(planes, axis=2)
    low, high = stacked.min(axis=(0, 1)), stacked.max(axis=(0, 1))
    return np.rint((stacked - low) / (high - low) * 255).astype(np.uint8)


def file_of(pixels: np.ndarray | Image.Image, form: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(out, form, **options)
    return out.getvalue()


def lying(orientation: int, form: str = "JPEG", pixels: np.ndarray | None = None) -> bytes:
    """A picture that says how the camera was held."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return file_of(
        picture() if pixels is None else pixels, form, exif=exif, **({"quality": 95} if form == "JPEG" else {})
    )


def image_input(shape: tuple[int, ...] = (3, 32, 48), datatype: str = "UINT8", **spec: Any) -> TensorInput:
    spec.setdefault("size", (32, 48))
    return TensorInput(name="image", datatype=datatype, shape=shape, image=ImageInput(**spec))  # type: ignore[arg-type]


def audio_input(shape: tuple[int, ...] = (-1,), datatype: str = "FP32", **spec: Any) -> TensorInput:
    spec.setdefault("rate", 16_000)
    return TensorInput(name="sound", datatype=datatype, shape=shape, audio=AudioInput(**spec))  # type: ignore[arg-type]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *between: bytes, data: bytes = b"", bits: int = 1, color: int = 0) -> bytes:
    """A PNG put together by hand."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0))
    body = chunk(b"IDAT", data or zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(between) + body + chunk(b"IEND", b"")


def png_bomb(side: int = 20_000) -> bytes:
    """A real one: side x side black pixels, sound to the last byte, in 50 kB."""
    row = b"\0" * (1 + side // 8)
    packer = zlib.compressobj(9)
    data = b"".join([packer.compress(row) for _ in range(side)]) + packer.flush()
    return png(side, side, data=data)


def jpeg_of_size(width: int, height: int) -> bytes:
    """A small JPEG whose head claims another size."""
    data = bytearray(file_of(picture(16, 16), "JPEG"))
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def jpeg_of_scans(count: int) -> bytes:
    """A progressive JPEG that repaints the same picture again and again."""
    data = file_of(Image.new("L", (2000, 2000)), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    return data[:-2] + data[start:-2] * count + data[-2:]


def tone(seconds: float = 0.5, rate: int = 16_000, channels: int = 1, hertz: float = 440.0) -> np.ndarray:
    """Samples [n, channels] of a tone, each channel at half the loudness of the one before."""
    time = np.arange(round(seconds * rate)) / rate
    return np.stack([0.5 ** (1 + one) * np.sin(2 * np.pi * hertz * time) for one in range(channels)], axis=1)


def sound_of(samples: np.ndarray, rate: int = 16_000, form: str = "WAV", subtype: str | None = None) -> bytes:
    out = io.BytesIO()
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(out, "w", rate, channels, subtype, format=form) as file:
        for start in range(0, len(samples), 65_536):  # the encoder of Vorbis takes no more at once
            file.write(samples[start : start + 65_536])
    return out.getvalue()


def wav_head(rate: int, channels: int, size: int, bits: int = 16) -> bytes:
    """The head of a WAV file whose samples are to follow, `size` bytes of them by its own word."""
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * block, block, bits)
    return (
        b"RIFF"
        + struct.pack("<I", size + 36)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + b"data"
        + struct.pack("<I", size)
    )
