"""What a sound is like, in figures: how long, how loud, how far above its noise, how much of it silent or cut off.

Samples come as [samples] or [samples, channels], from -1 to 1 at full scale, and `rate` is in samples a second.
"""

from __future__ import annotations

from math import log10, pi, tan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.measures.arrays import Floats
from trimtab.records.base import Record

FLOOR = -120.0
"""The least level in dBFS that is told: digital silence has none."""
QUIETEST = -70.0
"""The least loudness in LUFS that is told: ITU-R BS.1770 leaves out whatever is quieter."""
_FULL = 0.999
_SILENT = -50.0
_FRAME = 0.02
_PIECE = 30.0
_SETTLED = 0.5  # seconds after which the filters have forgotten what was before


class SoundFigures(Record, kw_only=True):
    """All figures of one sound.

    `duration` in seconds, `sample_rate`, `channels`; `rms` and `peak` in dBFS, never below -120; `loudness` in LUFS,
    never below -70; `snr` in dB; `clipping` the share of samples at full scale, `silence` that of frames of 20 ms below
    -50 dBFS.
    """

    duration: float
    sample_rate: int
    channels: int
    rms: float
    peak: float
    loudness: float
    snr: float
    clipping: float
    silence: float


def sound_figures(samples: NDArray[Any], rate: int) -> SoundFigures:
    """Every figure of a sound. ValueError when there is no sample, or one that is no number."""
    heard = as_channels(samples)
    mono = np.asarray(heard.mean(axis=1))
    return SoundFigures(
        duration=len(heard) / rate,
        sample_rate=rate,
        channels=heard.shape[1],
        rms=rms(heard),
        peak=peak(heard),
        loudness=loudness(heard, rate),
        snr=snr(mono, rate),
        clipping=clipping(heard),
        silence=silence(mono, rate),
    )


def as_channels(samples: NDArray[Any]) -> Floats:
    """Samples as float64 [samples, channels]; whole numbers are divided by their type's greatest value."""
    found = np.asarray(samples)
    scale = float(np.iinfo(found.dtype).max) if np.issubdtype(found.dtype, np.integer) else 1.0
    heard = np.asarray(found, np.float64) / scale
    if heard.ndim == 1:
        heard = heard[:, None]
    if heard.ndim != 2 or heard.size == 0:
        raise ValueError(f"no sound: an array of shape {list(np.shape(samples))}")
    if not np.isfinite(heard).all():
        raise ValueError("a sound with samples that are no numbers")
    return heard


def rms(samples: Floats) -> float:
    """Root of the mean square in dBFS, 0 for a square wave at full scale (so that a sine there has -3.01)."""
    return level(float(np.mean(samples * samples)))


def peak(samples: Floats) -> float:
    """The greatest sample in dBFS."""
    return level(float(np.abs(samples).max()) ** 2)


def level(power: float) -> float:
    """10 log10 of a mean square, never below -120."""
    return max(FLOOR, 10.0 * log10(power)) if power > 0 else FLOOR


def clipping(samples: Floats) -> float:
    """Share of samples within a thousandth of full scale, where a converter or an encoder cuts off."""
    return float((np.abs(samples) >= _FULL).mean())


def silence(samples: Floats, rate: int, *, below: float = _SILENT) -> float:
    """Share of frames of 20 ms whose level is below `below` dBFS."""
    return float((frame_powers(samples, rate) < 10.0 ** (below / 10.0)).mean())


def snr(samples: Floats, rate: int) -> float:
    """An estimate of the signal to noise ratio in dB, from the sound alone.

    The power of frames of 20 ms: its 10th percentile is taken for noise, its 95th for signal and noise, after the way
    of NIST's stnr (Speech Quality Assurance package, 1992). It supposes that a tenth of the sound is pauses: one
    without any, such as a steady tone, reads near 0. Between 0 and 120; digital silence throughout is 0.
    """
    powers = frame_powers(samples, rate)
    noise, both = np.quantile(powers, [0.10, 0.95])
    least = 10.0 ** (FLOOR / 10.0)
    signal = max(float(both - noise), 0.0)
    if signal <= least:
        return 0.0
    return min(max(0.0, 10.0 * log10(signal / max(float(noise), least))), -FLOOR)


def frame_powers(samples: Floats, rate: int) -> Floats:
    """The mean square of each frame of 20 ms; what does not fill the last one is left out where there is another."""
    heard = samples.mean(axis=1) if samples.ndim == 2 else samples
    size = max(1, round(rate * _FRAME))
    whole = heard[: heard.size // size * size]
    frames = whole.reshape(-1, size) if whole.size else heard.reshape(1, -1)
    return np.asarray((frames * frames).mean(axis=1))


def loudness(samples: Floats, rate: int) -> float:
    """Integrated loudness in LUFS by ITU-R BS.1770-4: K-weighted power of blocks of 400 ms that overlap by three
    quarters, first without those below -70 LUFS, then without those more than 10 LU below the mean of the rest.

    Channels count alike: surround weights (+1.5 dB) are not applied. A sound shorter than a block is one block.
    """
    heard = samples[:, None] if samples.ndim == 1 else samples
    powers = _block_powers(heard, rate)
    kept = powers[powers > _power(QUIETEST)]
    if kept.size == 0:
        return QUIETEST
    kept = kept[kept > kept.mean() / 10.0]
    return max(QUIETEST, -0.691 + 10.0 * log10(float(kept.mean())))


def _power(lufs: float) -> float:
    return float(10.0 ** ((lufs + 0.691) / 10.0))


def _block_powers(heard: Floats, rate: int) -> Floats:
    """K-weighted power of each block of 400 ms, one every 100 ms, summed over channels."""
    step = max(1, round(rate / 10))
    count = len(heard)
    sums = np.zeros(-(-count // step))
    size = max(step, round(_PIECE * rate) // step * step)
    before = round(_SETTLED * rate)
    for start in range(0, count, size):
        piece = heard[max(0, start - before) : start + size]
        weighted = _k_weighted(piece, rate)[min(start, before) :]
        power = (weighted * weighted).sum(axis=1)
        edges = np.arange(0, power.size, step)
        sums[start // step : start // step + edges.size] += np.add.reduceat(power, edges)
    steps = count // step
    if steps < 4:
        return np.array([sums.sum() / count])
    running = np.concatenate([[0.0], np.cumsum(sums[:steps])])
    return np.asarray((running[4:] - running[:-4]) / (4 * step))


def _k_weighted(piece: Floats, rate: int) -> Floats:
    """The two filters of BS.1770 annex 1 as one gain over frequency, their coefficients for any rate."""
    size = 1 << (len(piece) + round(_SETTLED * rate) - 1).bit_length()
    turn = np.exp(-2j * pi * np.arange(size // 2 + 1) / size)  # 1/z on the unit circle
    gain = _shelf(turn, rate) * _high_pass(turn, rate)
    bands = np.fft.rfft(piece, size, axis=0) * gain[:, None]
    return np.asarray(np.fft.irfft(bands, size, axis=0)[: len(piece)])


def _shelf(turn: NDArray[np.complex128], rate: int) -> NDArray[np.complex128]:
    """The head's shelf: +4 dB above 1.7 kHz. For 48 kHz the coefficients of BS.1770 table 1 come out."""
    frequency, gain, quality = 1681.974450955533, 3.999843853973347, 0.7071752369554196
    k = tan(pi * min(frequency, 0.49 * rate) / rate)
    high = 10.0 ** (gain / 20.0)
    middle = high**0.4996667741545416
    first = 1.0 + k / quality + k * k
    above = (high + middle * k / quality + k * k) + 2 * (k * k - high) * turn
    above = above + (high - middle * k / quality + k * k) * turn * turn
    below = first + 2 * (k * k - 1.0) * turn + (1.0 - k / quality + k * k) * turn * turn
    return np.asarray(above / below)


def _high_pass(turn: NDArray[np.complex128], rate: int) -> NDArray[np.complex128]:
    """The ear's loss below 38 Hz. For 48 kHz the coefficients of BS.1770 table 2 come out."""
    frequency, quality = 38.13547087602444, 0.5003270373238773
    k = tan(pi * frequency / rate)
    first = 1.0 + k / quality + k * k
    below = 1.0 + 2 * (k * k - 1.0) / first * turn + (1.0 - k / quality + k * k) / first * turn * turn
    return np.asarray((1.0 - 2.0 * turn + turn * turn) / below)
