"""Sound files to tensors: one way for training and for serving, and safe with whatever a caller sends.

A file's own word on its length is only an estimate, so it is read in blocks and no further than the limit.
"""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.inference.tensors.datatypes import DTYPES
from trimtab.inference.tensors.refused import InputError
from trimtab.records.tensors import AudioFormat, TensorInput

_BLOCK = 65_536  # frames
_STREAMED = 0x7FFF_0000
_MP3_SLACK = 1152  # samples: one of its frames may be padding


class AudioDecoder:
    """Turns files into rows of one tensor: mono samples at the declared rate. Safe to call from several threads.

    Raises PermanentError where the declaration contradicts itself, or the libraries are missing.
    """

    def __init__(self, tensor: TensorInput) -> None:
        assert tensor.audio is not None
        self._spec = spec = tensor.audio
        if len(tensor.shape) != 1:
            raise PermanentError(
                f"input {tensor.name!r}: a sound gives [samples], and its shape is {list(tensor.shape)}"
            )
        if tensor.datatype not in ("FP16", "FP32", "FP64", "INT16"):
            raise PermanentError(f"input {tensor.name!r}: a sound becomes FP32, FP64, FP16 or INT16")
        if spec.rate <= 0 or spec.max_seconds <= 0 or not 0 < spec.min_rate <= spec.max_rate:
            raise PermanentError(
                f"input {tensor.name!r}: rates and seconds must be above zero, min_rate below max_rate"
            )
        try:
            import soundfile  # here: a server of tables never needs them
            import soxr
        except (ImportError, OSError) as error:  # OSError: the library that soundfile wraps is not there
            raise PermanentError(
                f"input {tensor.name!r} takes sounds, and soundfile or soxr is not installed",
                hint="pip install 'trimtab[media]'",
            ) from error
        self._soundfile: Any = soundfile
        self._resample: Any = soxr.resample
        self._dtype = DTYPES[tensor.datatype]
        self._length = tensor.shape[0]

    def look(self, data: bytes | memoryview) -> AudioFormat:
        """The file's format, found in its first bytes. Raises InputError for a format or size that is not taken."""
        spec = self._spec
        found = sniff(data)
        if found not in spec.formats:
            what = f"the sound is {found}" if found else "these bytes are no sound that can be read"
            raise InputError(f"{what}; expected {', '.join(spec.formats)}", why="unsupported")
        if len(data) > spec.max_bytes:
            raise InputError(f"the sound has {len(data):,} bytes; at most {spec.max_bytes:,}", why="too_large")
        return found

    def decode(self, data: bytes | memoryview) -> NDArray[Any]:
        """The row's tensor [samples]. Raises InputError naming what is wrong and the limit."""
        name = self.look(data)
        try:
            samples, rate = self._read(data, name)
        except InputError:
            raise
        except (self._soundfile.SoundFileError, OSError, ValueError, TypeError, MemoryError) as error:
            told = getattr(error, "error_string", "") or str(error)  # the whole would name an address in memory
            raise InputError(f"the {name} sound is damaged: {' '.join(told.split())[:200]}") from error
        if not np.isfinite(samples).all():
            raise InputError(f"the {name} sound has samples that are no numbers")
        if rate != self._spec.rate:
            samples = self._resample(samples, rate, self._spec.rate)
        return self._fitted(samples)

    def _read(self, data: bytes | memoryview, name: AudioFormat) -> tuple[NDArray[np.float32], int]:
        spec = self._spec
        if ends_early(data, name):
            raise InputError(f"the {name} sound is damaged: it ends early")
        with self._soundfile.SoundFile(io.BytesIO(data)) as file:
            rate, channels = file.samplerate, file.channels
            if not spec.min_rate <= rate <= spec.max_rate:
                raise InputError(
                    f"the sound has {rate:,} samples a second; expected {spec.min_rate:,} to {spec.max_rate:,}",
                    why="too_large" if rate > spec.max_rate else "invalid",
                )
            if channels > spec.max_channels:
                raise InputError(f"the sound has {channels} channels; at most {spec.max_channels}", why="too_large")
            most = math.floor(spec.max_seconds * rate)
            blocks: list[NDArray[np.float32]] = []
            count = 0
            while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
                count += len(block)
                if count > most:
                    raise InputError(f"the sound is longer than {spec.max_seconds:g} s", why="too_large")
                with np.errstate(all="ignore"):  # a file of floats may hold anything; it is looked at below
                    blocks.append(block[:, 0] if channels == 1 else block.mean(axis=1))
            promised = file.frames
        if not blocks:
            raise InputError("the sound is empty")
        # Without a table of contents an MP3 promises what its first bit rate suggests, which means nothing.
        told = name != "MP3" or any(mark in bytes(data[:4096]) for mark in (b"Xing", b"Info", b"VBRI"))
        if told and count + (_MP3_SLACK if name == "MP3" else 0) < promised:
            raise InputError(f"the {name} sound is damaged: it ends after {count:,} of {promised:,} samples")
        return (blocks[0] if len(blocks) == 1 else np.concatenate(blocks)), rate

    def _fitted(self, samples: NDArray[np.float32]) -> NDArray[Any]:
        wanted = self._length
        if wanted != -1 and len(samples) != wanted:
            if len(samples) > wanted:
                if not self._spec.cut:
                    seconds = wanted / self._spec.rate
                    raise InputError(f"the sound is longer than the {seconds:g} s of this model", why="too_large")
                samples = samples[:wanted]
            else:
                samples = np.pad(samples, (0, wanted - len(samples)))
        if self._dtype.kind == "i":
            return np.rint(samples.clip(-1.0, 1.0) * 32_767.0).astype(self._dtype)
        return np.ascontiguousarray(samples, self._dtype)


def sniff(data: bytes | memoryview) -> str:
    """The format that the first bytes tell, empty when they tell none that is known."""
    head = bytes(data[:16])
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "WAV"
    if head.startswith(b"fLaC"):
        return "FLAC"
    if head.startswith(b"OggS"):
        return "OGG"
    if head.startswith(b"ID3") or (len(head) > 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06):
        return "MP3"
    if head[4:8] == b"ftyp":
        return "MP4"
    return {b"FORM": "AIFF", b"RF64": "RF64", b".snd": "AU"}.get(head[:4], "")


def ends_early(data: bytes | memoryview, name: AudioFormat) -> bool:
    """Whether a file says itself that more should follow: a decoder would pass over that in silence."""
    if name == "OGG":
        last = bytes(data).rfind(b"OggS")
        head = bytes(data[last : last + 27])
        if len(head) < 27 or not head[5] & 0x04:  # the flag of a stream's last page
            return True
        sizes = bytes(data[last + 27 : last + 27 + head[26]])
        return len(data) < last + 27 + head[26] + sum(sizes)
    if name == "WAV":
        place = 12
        while place + 8 <= len(data):
            kind, size = bytes(data[place : place + 4]), int.from_bytes(data[place + 4 : place + 8], "little")
            if kind == b"data":
                written = 0 < size < _STREAMED  # a program that writes into a pipe cannot know the size
                return written and place + 8 + size > len(data)
            place += 8 + size + size % 2
        return True
    return False
