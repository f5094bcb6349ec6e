"""What trainings that have not ended yet logged so far."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import NamedTuple

import polars as pl

from trimtab.training.checkpoints import tracked_folders
from trimtab.training.tracking.recorder import POINTS
from trimtab.training.tracking.segment import points_of, read_frames


class UnderWay(NamedTuple):
    """One training by its identity: whether a process works on it, or it was broken off and waits to be begun again;
    its points as `points_of` gives them, none older than a second or so missing."""

    id: str
    running: bool
    points: pl.DataFrame


def under_way(work: Path) -> list[UnderWay]:
    """Those in a folder of trainings that logged something, by identity."""
    found = []
    for identity, folder in tracked_folders(work):
        frames, _ = read_frames(folder / POINTS)
        if frames:
            found.append(UnderWay(identity, _held(work / f"{identity}.lock"), points_of(frames)))
    return found


def _held(lock: Path) -> bool:
    """Whether a trainer holds the right to train this."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
