"""Figures of sounds against signals whose level is known, and the standard's own filters sample by sample."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter

from trimtab.measures.arrays import Floats
from trimtab.measures.media.sounds import QUIETEST, clipping, loudness, rms, silence, snr, sound_figures

RATES = (8_000, 16_000, 22_050, 44_100, 48_000)


def tone(frequency: float, seconds: float, rate: int, decibels: float = 0.0) -> Floats:
    """A sine whose peak lies `decibels` from full scale."""
    time = np.arange(round(seconds * rate)) / rate
    return np.asarray(10 ** (decibels / 20) * np.sin(2 * np.pi * frequency * time))


def test_full_scale_sine() -> None:
    found = sound_figures(tone(1000, 2, 48_000), 48_000)
    assert (found.duration, found.sample_rate, found.channels) == (2.0, 48_000, 1)
    assert found.rms == pytest.approx(-3.01, abs=0.01)
    assert found.peak == pytest.approx(0.0, abs=0.01)
    assert found.silence == 0.0


@pytest.mark.parametrize("rate", RATES)
def test_a_sine_at_997_hz_is_as_loud_as_the_standard_says(rate: int) -> None:
    """BS.1770-4, annex 1: 0 dB FS at 997 Hz in one channel is -3.01 LKFS."""
    assert loudness(tone(997, 5, rate), rate) == pytest.approx(-3.01, abs=0.1)


def test_signals_of_ebu_tech_3341() -> None:
    """Cases 1 to 3 and 5 of table 1: stereo sines of 1 kHz, and the relative gate."""

    def stereo(*parts: tuple[float, float]) -> Floats:
        mono = np.concatenate([tone(1000, seconds, 48_000, level) for level, seconds in parts])
        return np.stack([mono, mono], axis=1)

    assert loudness(stereo((-23, 20)), 48_000) == pytest.approx(-23, abs=0.1)
    assert loudness(stereo((-33, 20)), 48_000) == pytest.approx(-33, abs=0.1)
    assert loudness(stereo((-36, 10), (-23, 60), (-36, 10)), 48_000) == pytest.approx(-23, abs=0.1)
    assert loudness(stereo((-26, 20), (-20, 20.1), (-26, 20)), 48_000) == pytest.approx(-23, abs=0.1)


@given(st.integers(0, 1000))
def test_filters_are_those_of_the_standard(seed: int) -> None:
    """Noise through the coefficients of BS.1770-4 tables 1 and 2, sample by sample, and one block of it."""
    noise = np.random.default_rng(seed).normal(0, 0.1, 19_200)
    head = lfilter([1.53512485958697, -2.69169618940638, 1.19839281085285],
                   [1.0, -1.69065929318241, 0.73248077421585], noise)  # fmt: skip
    heard = lfilter([1.0, -2.0, 1.0], [1.0, -1.99004745483398, 0.99007225036621], head)
    assert loudness(noise, 48_000) == pytest.approx(-0.691 + 10 * np.log10(np.mean(heard**2)), abs=0.01)


def test_a_long_sound_is_heard_in_pieces() -> None:
    sound = np.concatenate([tone(200, 31, 8_000, -20), tone(900, 34, 8_000, -20)])
    pieces = [loudness(tone(f, 31, 8_000, -20), 8_000) for f in (200, 900)]
    assert min(pieces) < loudness(sound, 8_000) < max(pieces)


@given(st.integers(0, 1000), st.floats(-30, 0))
def test_gain_moves_levels_by_itself(seed: int, decibels: float) -> None:
    noise = np.random.default_rng(seed).normal(0, 0.2, 16_000)
    softer = noise * 10 ** (decibels / 20)
    assert rms(softer) == pytest.approx(rms(noise) + decibels)
    assert loudness(softer, 16_000) == pytest.approx(loudness(noise, 16_000) + decibels, abs=1e-6)
    assert snr(softer, 16_000) == pytest.approx(snr(noise, 16_000), abs=1e-6)


@pytest.mark.parametrize("wanted", [5.0, 10.0, 20.0, 30.0])
def test_noise_between_words_is_found(wanted: float) -> None:
    """Bursts for three quarters of the time in noise of a known power."""
    dice = np.random.default_rng(1)
    words = tone(300, 20, 16_000, -6)
    words[(np.arange(words.size) // 8_000) % 4 == 3] = 0.0
    power = np.mean(tone(300, 1, 16_000, -6) ** 2)
    noisy = words + dice.normal(0, np.sqrt(power / 10 ** (wanted / 10)), words.size)
    assert snr(noisy, 16_000) == pytest.approx(wanted, abs=1.5)


def test_silence_and_clipping() -> None:
    half = np.concatenate([np.zeros(8_000), tone(400, 1, 8_000, 6.0).clip(-1, 1)])
    assert silence(half, 8_000) == pytest.approx(0.5)
    assert 0.2 < clipping(half) < 0.5
    found = sound_figures(np.zeros(4_000, np.int16), 8_000)
    assert (found.rms, found.peak, found.loudness, found.snr) == (-120.0, -120.0, QUIETEST, 0.0)
    assert (found.silence, found.clipping) == (1.0, 0.0)


@given(st.integers(1, 5_000), st.sampled_from(RATES), st.integers(1, 3))
def test_every_sound_has_finite_figures(size: int, rate: int, channels: int) -> None:
    found = sound_figures(np.random.default_rng(size).uniform(-1, 1, (size, channels)), rate)
    numbers = [found.rms, found.peak, found.loudness, found.snr, found.clipping, found.silence]
    assert np.isfinite(numbers).all()
    assert found.duration == size / rate


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros((2, 2, 2)), np.array([0.1, np.nan])])
def test_what_is_no_sound(samples: Floats) -> None:
    with pytest.raises(ValueError, match="sound"):
        sound_figures(samples, 8_000)
