"""Phrases said by the voices of espeak-ng, as WAV files."""

from __future__ import annotations

import csv
import os
import runpy
import subprocess
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import soundfile

PHRASES: list[str] = runpy.run_path(str(Path(__file__).parent / "system" / "phrases.py"))["PHRASES"]
VOICES = [
    *("en-us+m1", "en-us+f1", "en-us+m2", "en-us+f2", "en-gb+m3", "en-gb+f3", "en-gb+m4", "en-us+f4"),
    *("en-gb-scotland+m5", "en-029+f5", "en-gb-x-rp+f1", "en-gb-scotland+f2"),
]
"""The last four, which models are judged by, have accents that the others have not."""
SPEEDS = (150, 165, 180)


def say(place: Path, phrase: str, voice: str, speed: int) -> None:
    """Write a WAV file of it, with noise half as loud as the speech (6 dB below it)."""
    words = ["espeak-ng", "-v", voice, "-s", str(speed), "-w", str(place), phrase]
    subprocess.run(words, capture_output=True, check=True, timeout=20)
    clean, rate = soundfile.read(place)
    noise = np.random.default_rng(zlib.crc32(place.name.encode())).normal(size=clean.size)
    loud = np.sqrt(np.square(clean).mean())
    soundfile.write(place, np.clip(clean + noise * loud * 10 ** (-6 / 20), -1, 1), rate, subtype="PCM_16")


def fill(folder: Path, voices: Sequence[str], *, days: float, apart: float) -> None:
    """Clips of every voice, each voice on a day of its own, the last one `days` days ago; what was said goes into the
    file beside them."""
    clips = folder / "clips"
    clips.mkdir(exist_ok=True)
    beside = clips / "said.csv"
    new = not beside.exists()
    with beside.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["path", "said", "voice", "gender"])
        for place, voice in enumerate(voices):
            at = datetime.now(UTC) - timedelta(days=days + apart * (len(voices) - 1 - place), hours=1)
            for number, phrase in enumerate(PHRASES):
                for speed in SPEEDS:
                    name = f"{voice.replace('+', '_')}_{number:02d}_{speed}.wav"
                    say(clips / name, phrase, voice, speed)
                    moment = (at + timedelta(seconds=60 * number + speed)).timestamp()
                    os.utime(clips / name, (moment, moment))
                    writer.writerow([name, phrase, voice, "f" if "+f" in voice else "m"])
