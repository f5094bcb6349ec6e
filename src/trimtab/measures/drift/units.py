"""Whether numbers that came in look like the former ones in another unit: miles as kilometres, °F as °C.

Rows come in *blocks* (a day, a page). Of each block the quantiles q at 10, 25, 50, 75 and 90% count. Let B be the
blocks of late, s the mean of their spreads q(90%) - q(10%), and at each p

    range(p) = lowest to highest q(p) in B,    w(p) = its width.

New quantiles y look like another unit if all of this holds:

1. y is far off: at four of the five p or more it lies outside of range(p) by more than max(w(p), s / 10). What the
   blocks of late differ by among themselves, as they do by season and by chance, is no change.
2. A known conversion y = f x + c brings it back: (y - c) / f lies within range(p) widened by max(w(p) / 2, s / 20) at
   four of the five p and within twice that at the fifth, and half of that at the median. Conversions of
   temperatures count for numbers that can be temperatures.
3. It is the conversion that brings y nearest to the mean of B, at the p where it is worst off.

So a change is reported only if it is large against everything that was seen of late, and exactly a unit's. A drift that
happens to be one is reported too: nobody could tell. One that is not, is none of this: drift is measured elsewhere.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trimtab.measures.arrays import Floats

AT = (0.1, 0.25, 0.5, 0.75, 0.9)
FEWEST_BLOCKS = 6
_FAR, _NEAR = 0.1, 0.05


class Conversion(NamedTuple):
    """What new numbers are of old ones: `factor` times them, plus `offset`; old ones lie from `low` to `high`."""

    name: str
    factor: float
    offset: float = 0.0
    low: float = -np.inf
    high: float = np.inf

    def back(self, quantiles: Floats) -> Floats:
        """New quantiles in the old unit."""
        return np.asarray((quantiles - self.offset) / self.factor)


_FACTORS = (
    ("thousands", 1e3), ("millions", 1e6), ("thousand millions", 1e9), ("tens", 10.0), ("hundreds", 100.0),
    ("minutes to seconds", 60.0), ("hours to seconds", 3600.0), ("days to hours", 24.0), ("days to seconds", 86_400.0),
    ("days to minutes", 1440.0), ("hours to milliseconds", 3.6e6), ("minutes to milliseconds", 6e4),
    ("miles to kilometres", 1.609344), ("nautical miles to kilometres", 1.852), ("feet to metres", 0.3048),
    ("inches to centimetres", 2.54), ("inches to millimetres", 25.4),
    ("pounds to kilograms", 0.45359237), ("ounces to grams", 28.349523125), ("gallons to litres", 3.785411784),
    ("knots to metres a second", 0.514444), ("metres a second to kilometres an hour", 3.6),
    ("miles an hour to metres a second", 0.44704), ("inches of mercury to hectopascals", 33.8639),
    ("radians to degrees", 57.29577951308232),
)  # fmt: skip
"""From BIPM, The International System of Units (2019), and NIST SP 811 (2008), appendix B."""
_C, _F, _K = (-90.0, 130.0), (-130.0, 266.0), (183.0, 403.0)
_AFFINE = (
    Conversion("°F to °C", 5 / 9, -160 / 9, *_F), Conversion("°C to °F", 1.8, 32.0, *_C),
    Conversion("°C to K", 1.0, 273.15, *_C), Conversion("K to °C", 1.0, -273.15, *_K),
    Conversion("°F to K", 5 / 9, 273.15 - 160 / 9, *_F), Conversion("K to °F", 1.8, -459.67, *_K),
)  # fmt: skip


def _turned(name: str) -> str:
    old, to, new = name.partition(" to ")
    return f"{new} to {old}" if to else f"parts of {name}"


CONVERSIONS: tuple[Conversion, ...] = (
    *(Conversion(f"times {name}" if " to " not in name else name, factor) for name, factor in _FACTORS),
    *(Conversion(_turned(name), 1 / factor) for name, factor in _FACTORS),
    *_AFFINE,
)


def unit_shift(blocks: Floats, new: Floats) -> Conversion | None:
    """`blocks` are the quantiles at `AT` of the blocks of late [n, 5], `new` those of one more [5]. The conversion that
    they look like, None for none, and where fewer than `FEWEST_BLOCKS` are known or all numbers are one."""
    if len(blocks) < FEWEST_BLOCKS or not np.isfinite(new).all():
        return None
    low, high, mean = blocks.min(axis=0), blocks.max(axis=0), blocks.mean(axis=0)
    width, spread = high - low, float((blocks[:, -1] - blocks[:, 0]).mean())
    if spread <= 0:
        return None
    off = np.maximum(low - new, new - high)
    if int((off > np.maximum(width, _FAR * spread)).sum()) < 4:
        return None
    slack = np.maximum(width / 2, _NEAR * spread)
    best, least = None, np.inf
    for conversion in CONVERSIONS:
        back = conversion.back(new)
        if not conversion.low <= mean[2] <= conversion.high:
            continue
        beyond = np.maximum(low - back, back - high) / slack
        if int((beyond <= 1).sum()) >= len(AT) - 1 and float(beyond.max()) <= 2 and beyond[2] <= 0.5:
            misfit = float(np.abs(back - mean).max())
            if misfit < least:
                best, least = conversion, misfit
    return best
