"""Sound files become the declared samples, and no file does harm."""

from __future__ import annotations

import resource
import struct
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.inference.tensors import media

from trimtab.errors import PermanentError
from trimtab.inference.tensors.audio import AudioDecoder, sniff
from trimtab.inference.tensors.refused import InputError

FORMATS = [
    ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("FLAC", None), ("OGG", "VORBIS"), ("OGG", "OPUS"),
    ("MP3", None),
]  # fmt: skip


def decoded(data: bytes, **spec: object) -> np.ndarray:
    return AudioDecoder(media.audio_input(**spec)).decode(data)


def refused(data: bytes, **spec: object) -> InputError:
    with pytest.raises(InputError) as raised:
        decoded(data, **spec)
    return raised.value


def loudness(samples: np.ndarray, hertz: float, rate: int) -> float:
    """Amplitude of one frequency (discrete Fourier transform at that frequency)."""
    turning = np.exp(-2j * np.pi * hertz * np.arange(len(samples)) / rate)
    return float(2 * abs((samples * turning).mean()))


@pytest.mark.parametrize(("form", "subtype"), FORMATS)
def test_every_format_gives_its_sound(form, subtype):
    data = media.sound_of(media.tone(1.0), 16_000, form, subtype)
    assert sniff(data) == form
    found = decoded(data)
    assert found.dtype == np.float32
    assert abs(len(found) - 16_000) <= 1200
    assert loudness(found[2000:14_000], 440, 16_000) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_any_rate_becomes_the_declared_one(rate):
    found = decoded(media.sound_of(media.tone(1.0, rate), rate))
    assert abs(len(found) - 16_000) <= 2
    assert loudness(found[2000:14_000], 440, 16_000) == pytest.approx(0.5, abs=0.01)
    assert loudness(found[2000:14_000], 1_700, 16_000) < 0.001


def test_what_the_lower_rate_cannot_hold_is_not_folded_into_it():
    found = decoded(media.sound_of(media.tone(1.0, 48_000, hertz=10_000), 48_000))
    assert np.abs(found[1000:-1000]).max() < 0.001


def test_channels_are_mixed_to_one():
    found = decoded(media.sound_of(media.tone(1.0, channels=2)))
    assert loudness(found, 440, 16_000) == pytest.approx((0.5 + 0.25) / 2, abs=0.005)


def test_a_fixed_length_is_filled_with_silence_cut_or_refused():
    data = media.sound_of(media.tone(0.5))
    padded = decoded(data, shape=(16_000,))
    assert padded.shape == (16_000,)
    assert np.abs(padded[8_000:]).max() == 0
    assert np.abs(padded[:8_000]).max() > 0.4
    assert decoded(data, shape=(4_000,), cut=True).shape == (4_000,)
    error = refused(data, shape=(4_000,))
    assert (error.message, error.why) == ("the sound is longer than the 0.25 s of this model", "too_large")


def test_whole_numbers_span_their_range():
    loud = np.array([-1.0, 0.0, 0.5, 0.99997]).repeat(100)
    found = decoded(media.sound_of(loud, subtype="FLOAT"), datatype="INT16")
    assert found.dtype == np.int16
    assert sorted(set(found.tolist())) == [-32767, 0, 16384, 32766]


@pytest.mark.parametrize(("data", "message"), [
    (b"", "no sound that can be read; expected WAV, FLAC, OGG, MP3"),
    (b"this is a text and no sound", "no sound that can be read"),
    (b"\0\0\0\x20ftypM4A " + b"\0" * 40, "the sound is MP4"),
    (b"FORM\0\0\0\0AIFF" + b"\0" * 40, "the sound is AIFF"),
])  # fmt: skip
def test_other_kinds_are_refused_by_name(data, message):
    error = refused(data)
    assert message in error.message
    assert error.why == "unsupported"


def test_limits_say_their_figures():
    data = media.sound_of(media.tone(2.0))
    for spec, message, why in (
        ({"max_bytes": 1000}, f"the sound has {len(data):,} bytes; at most 1,000", "too_large"),
        ({"max_seconds": 1.5}, "the sound is longer than 1.5 s", "too_large"),
        (
            {"max_rate": 12_000, "rate": 8_000},
            "the sound has 16,000 samples a second; expected 4,000 to 12,000",
            "too_large",
        ),
        ({"min_rate": 22_050}, "the sound has 16,000 samples a second; expected 22,050 to 192,000", "invalid"),
        ({"formats": ("FLAC",)}, "the sound is WAV; expected FLAC", "unsupported"),
    ):
        error = refused(data, **spec)
        assert (error.message, error.why) == (message, why)
    error = refused(media.sound_of(media.tone(0.1, channels=9)))
    assert (error.message, error.why) == ("the sound has 9 channels; at most 8", "too_large")


def bounded(data: bytes, megabytes: int = 80, seconds: float = 2.0, **spec: object) -> InputError:
    """It is refused soon and without taking memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    error = refused(data, **spec)
    assert time.process_time() - began < seconds
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < megabytes
    return error


def test_hours_of_silence_in_a_small_file_are_not_unpacked():
    hours = np.zeros(900 * 8_000, np.int16)
    for form, subtype in (("FLAC", None), ("OGG", "VORBIS")):
        bomb = media.sound_of(hours, 8_000, form, subtype)
        assert len(bomb) < 400_000
        assert bounded(bomb).message == "the sound is longer than 60 s"


def test_a_head_that_lies_about_what_follows_is_refused():
    samples = b"\1\0" * 4000
    assert bounded(media.wav_head(16_000, 1, 2**30) + samples).message == "the WAV sound is damaged: it ends early"
    assert "2,000,000,000 samples a second" in bounded(media.wav_head(2 * 10**9, 1, 8000) + samples).message
    assert "no sound" in bounded(b"RIFF").message
    assert bounded(media.wav_head(0, 1, 8000) + samples).message
    assert bounded(media.wav_head(16_000, 0, 8000) + samples).message
    assert bounded(media.wav_head(16_000, 30_000, 8000) + samples).message
    assert bounded(media.wav_head(16_000, 1, 0)).message == "the sound is empty"


def test_a_stream_of_unknown_length_is_taken():
    samples = struct.pack("<1600h", *[int(3000 * np.sin(n / 6)) for n in range(1600)])
    assert len(decoded(media.wav_head(16_000, 1, 0xFFFF_FFFF - 100) + samples)) == 1600


def test_samples_that_are_no_numbers_are_refused():
    odd = np.zeros(1000, np.float32)
    odd[500] = np.nan
    assert refused(media.sound_of(odd, subtype="FLOAT")).message == "the WAV sound has samples that are no numbers"


@pytest.mark.parametrize(("form", "subtype"), FORMATS)
def test_a_file_that_was_cut_is_refused(form, subtype):
    data = media.sound_of(media.tone(3.0), 16_000, form, subtype)
    for part in (0.9, 0.5, 0.1, 0.01):
        error = refused(data[: int(len(data) * part)])
        assert "damaged" in error.message or "empty" in error.message or "no sound" in error.message


@settings(max_examples=150)
@given(st.data())
def test_no_file_does_harm(data):
    """Bytes changed, cut or put in anywhere give samples or a refusal, and nothing else."""
    form, subtype = data.draw(st.sampled_from(FORMATS))
    whole = bytearray(media.sound_of(media.tone(0.1, 16_000, 2), 16_000, form, subtype))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(whole) - 1))
        what = data.draw(st.sampled_from(["change", "cut", "insert", "repeat"]))
        if what == "change":
            whole[place] = data.draw(st.integers(0, 255))
        elif what == "cut":
            del whole[place : place + data.draw(st.integers(1, 40))]
        elif what == "insert":
            whole[place:place] = data.draw(st.binary(min_size=1, max_size=8))
        else:
            whole[place:place] = whole[place : place + 30]
        if not whole:
            break
    try:
        found = decoded(bytes(whole))
    except InputError as error:
        assert error.message
    else:
        assert found.ndim == 1
        assert 0 < len(found) <= 60 * 16_000
        assert np.isfinite(found).all()


@pytest.mark.parametrize(("spec", "message"), [
    ({"shape": (1, -1)}, "a sound gives [samples], and its shape is [1, -1]"),
    ({"datatype": "UINT8"}, "becomes FP32, FP64, FP16 or INT16"),
    ({"rate": 0}, "must be above zero"),
    ({"min_rate": 50_000, "max_rate": 16_000}, "min_rate below max_rate"),
])  # fmt: skip
def test_a_declaration_that_contradicts_itself_is_refused(spec, message):
    with pytest.raises(PermanentError) as raised:
        AudioDecoder(media.audio_input(**spec))
    assert message in str(raised.value)
