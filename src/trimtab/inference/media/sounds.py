"""What a sound file says of itself, and whether it can be read to its end."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from trimtab.errors import PermanentError
from trimtab.inference.tensors.audio import ends_early, sniff
from trimtab.inference.tensors.refused import InputError
from trimtab.records.tensors import AudioFormat

FORMATS: tuple[AudioFormat, ...] = ("WAV", "FLAC", "OGG", "MP3")
_BLOCK = 1 << 18


@dataclass(frozen=True)
class SoundFacts:
    """Seconds that were really there, samples a second, channels."""

    format: str
    duration: float
    rate: int
    channels: int


def describe_sound(data: bytes, *, max_seconds: float) -> SoundFacts:
    """Read a file to its end, block by block. Raises InputError naming what is wrong and the limit, PermanentError
    where soundfile is missing."""
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: the library that soundfile wraps is not there
        raise PermanentError("sounds cannot be read without soundfile", hint="pip install 'trimtab[media]'") from error
    if not data:
        raise InputError("the file is empty")
    sniffed = sniff(data)
    name = next((known for known in FORMATS if known == sniffed), None)
    if name is None:
        what = f"the sound is {sniffed}" if sniffed else "these bytes are no sound that can be read"
        raise InputError(f"{what}; expected {', '.join(FORMATS)}", why="unsupported")
    if ends_early(data, name):
        raise InputError(f"the {name} sound is damaged: it ends early")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            return _read(file, name, max_seconds)
    except InputError:
        raise
    except (soundfile.SoundFileError, OSError, ValueError, TypeError, MemoryError) as error:
        told = getattr(error, "error_string", "") or str(error)
        raise InputError(f"the {name} sound is damaged: {' '.join(told.split())[:200]}") from error


def _read(file: Any, name: str, max_seconds: float) -> SoundFacts:
    rate, channels, count = int(file.samplerate), int(file.channels), 0
    if rate <= 0:
        raise InputError(f"the {name} sound says it has {rate} samples a second")
    while len(block := file.read(_BLOCK // max(1, channels), dtype="float32", always_2d=True)):
        count += len(block)
        if count > max_seconds * rate:
            raise InputError(f"the sound is longer than {max_seconds:g} s", why="too_large")
    if not count:
        raise InputError("the sound is empty")
    return SoundFacts(name, count / rate, rate, channels)
