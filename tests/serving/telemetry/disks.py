"""Real disks for the tests: a memory disk of a given size, and a disk whose cable can be pulled."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MAY_MOUNT = os.geteuid() == 0 and shutil.which("mount") is not None and shutil.which("mkfs.ext4") is not None
needs_mounts = pytest.mark.skipif(not MAY_MOUNT, reason="mounting a disk takes root and e2fsprogs")


def _run(*command: str | Path) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this machine does not let {command[0]} run: {done.stderr.strip()}")


@contextmanager
def memory_disk(where: Path, size: str) -> Iterator[None]:
    """A file system of `size` (such as 1m) at the folder `where`."""
    where.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", where)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True)


class Cable:
    """An ext4 disk in a file. What the file holds at an instant is what a power cut at that instant leaves: what was
    written and not synced lies in memory, above it."""

    def __init__(self, image: Path, where: Path) -> None:
        self._image = image
        self._where = where

    @contextmanager
    def plugged(self) -> Iterator[None]:
        """Mounts it, new."""
        with self._image.open("wb") as file:
            file.truncate(24 * 2**20)
        _run("mkfs.ext4", "-q", "-m", "0", self._image)
        with self._mounted(self._image, self._where):
            yield

    @contextmanager
    def pulled(self, name: str) -> Iterator[Path]:
        """The disk as it would be found after a power cut now."""
        cut = self._image.with_name(name)
        shutil.copyfile(self._image, cut)
        after = self._where.with_name(f"{name}-after")
        with self._mounted(cut, after):
            yield after

    @contextmanager
    def _mounted(self, image: Path, where: Path) -> Iterator[None]:
        where.mkdir(parents=True, exist_ok=True)
        _run("mount", "-o", "loop", image, where)
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", str(where)], check=True)
