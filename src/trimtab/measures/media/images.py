"""What a picture looks like, in figures: how bright, how much contrast, how sharp, how full, and a hash of its look.

Pixels come as [rows, columns] or [rows, columns, channels] (grey, RGB, or RGB with anything after it); integers count
from 0 to their type's greatest value, floats from 0 to 1. Every figure is of the luma alone: colour is not judged.
"""

from __future__ import annotations

from math import cos, pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.measures.arrays import Floats
from trimtab.records.base import Record

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601-7, 2.5.1
_SIDE = 32  # the hash looks at a picture of this size,
_LOW = 8  # and at this many of its slowest waves each way


class ImageFigures(Record, kw_only=True):
    """All figures of one picture.

    `width` and `height` in pixels, `aspect` their ratio; `brightness` the mean luma from 0 (black) to 1; `contrast` its
    standard deviation, 0 to 0.5; `sharpness` the variance of its Laplacian (near zero: blurred, or nothing there);
    `entropy` of its 256 levels in bits, 0 to 8; `hash` sixteen hexadecimal digits that alike pictures nearly share.
    """

    width: int
    height: int
    aspect: float
    brightness: float
    contrast: float
    sharpness: float
    entropy: float
    hash: str


def image_figures(pixels: NDArray[Any]) -> ImageFigures:
    """Every figure of a picture. ValueError when it has no pixel or no such shape."""
    grey = luma(pixels)
    rows, columns = grey.shape
    return ImageFigures(
        width=columns,
        height=rows,
        aspect=columns / rows,
        brightness=brightness(grey),
        contrast=contrast(grey),
        sharpness=sharpness(grey),
        entropy=entropy(grey),
        hash=f"{look_hash(grey):016x}",
    )


def luma(pixels: NDArray[Any]) -> Floats:
    """Brightness of each pixel [rows, columns], 0 to 1: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601)."""
    found = np.asarray(pixels)
    if found.ndim == 3 and found.shape[2] in (1, 2):
        found = found[:, :, 0]
    if found.ndim not in (2, 3) or found.size == 0:
        raise ValueError(f"no picture: an array of shape {list(np.shape(pixels))}")
    scale = float(np.iinfo(found.dtype).max) if np.issubdtype(found.dtype, np.integer) else 1.0
    if found.ndim == 2:
        return np.asarray(found, np.float64) / scale
    grey = _LUMA[0] * found[:, :, 0] + _LUMA[1] * found[:, :, 1] + _LUMA[2] * found[:, :, 2]
    return np.asarray(grey, np.float64) / scale


def brightness(grey: Floats) -> float:
    """Mean luma, 0 to 1."""
    return float(grey.mean())


def contrast(grey: Floats) -> float:
    """Standard deviation of the luma, 0 to 0.5: RMS contrast (Peli 1990, "Contrast in complex images", JOSA A 7)."""
    return float(grey.std())


def sharpness(grey: Floats) -> float:
    """Variance of the Laplacian (4 neighbours) of the luma counted from 0 to 255: the usual measure of blur, which is
    low where it is strong (Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy", ICPR).

    Zero for a picture less than three pixels wide or high.
    """
    if min(grey.shape) < 3:
        return 0.0
    waves = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4.0 * grey[1:-1, 1:-1]
    return float(waves.var()) * 255.0**2


def entropy(grey: Floats) -> float:
    """Shannon entropy of the luma in 256 levels, in bits from 0 (one level) to 8 (all alike often)."""
    levels = np.clip(np.rint(grey * 255.0), 0, 255).astype(np.intp)
    shares = np.bincount(levels.ravel(), minlength=256) / grey.size
    shares = shares[shares > 0]
    return max(0.0, -float(shares @ np.log2(shares)))


def look_hash(grey: Floats) -> int:
    """A hash of 64 bits that alike pictures nearly share: for the same picture at another size, brightness or
    compression few bits differ; for two different ones about half.

    The slowest waves (DCT-II) of the picture at 32 x 32, each above their median or not; the mean itself is left out
    (Zauner 2010, "Implementation and benchmarking of perceptual image hash functions").
    """
    rows, columns = grey.shape
    small = _shrinking(rows) @ grey @ _shrinking(columns).T
    waves = _cosines()
    low = (waves @ small @ waves.T).ravel()
    rest = low[1:]
    if float(np.abs(rest).max()) < 1e-9:  # one colour: what is left is rounding
        return 0
    bits = low > np.median(rest)
    bits[0] = False
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _shrinking(side: int) -> Floats:
    """[32, side] weights that average `side` pixels into 32 equal spans, a pixel on a border counting by its parts."""
    edges = np.linspace(0.0, side, _SIDE + 1)
    pixels = np.arange(side)
    overlap = np.minimum(edges[1:, None], pixels + 1.0) - np.maximum(edges[:-1, None], pixels)
    return np.asarray(np.clip(overlap, 0.0, None) * (_SIDE / side))


def _cosines() -> Floats:
    """[8, 32] the first rows of the orthonormal DCT-II."""
    rows = [[cos(pi * (2 * n + 1) * k / (2 * _SIDE)) for n in range(_SIDE)] for k in range(_LOW)]
    scale = [sqrt((1 if k == 0 else 2) / _SIDE) for k in range(_LOW)]
    return np.asarray(np.asarray(rows) * np.asarray(scale)[:, None])
