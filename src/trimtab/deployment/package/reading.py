"""Reads a package back, and refuses one that is not as it was written."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from trimtab.deployment.package.contents import CHECKSUMS, FORM, MANIFEST, MODEL, Manifest
from trimtab.errors import PermanentError

_NEEDED = (MANIFEST, MODEL)


class Package:
    """A package at `path`, a folder or a zip. Every file that is read is checked against its checksum."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: Callable[[str], bytes]
        if path.is_dir():
            self._read = lambda name: (path / name).read_bytes()
        else:
            self._read = self._of_zip()
        self._sums = self._checksums()
        try:
            self.manifest = msgspec.json.decode(self.read(MANIFEST), type=Manifest)
        except msgspec.MsgspecError as error:
            raise PermanentError(f"{path}: its {MANIFEST} cannot be read: {error}") from error
        if self.manifest.form != FORM:
            raise PermanentError(f"{path} is of form {self.manifest.form}; this version reads form {FORM}")

    def has(self, name: str) -> bool:
        """Whether the package has that file."""
        return name in self._sums

    def read(self, name: str) -> bytes:
        """A file's content. Raises PermanentError when it is missing or not what its checksum says."""
        try:
            content = self._read(name)
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise PermanentError(f"{self.path} is not whole: {name} cannot be read") from error
        if name != CHECKSUMS and hashlib.sha256(content).hexdigest() != self._sums.get(name):
            raise PermanentError(f"{self.path}: {name} is not what {CHECKSUMS} says", hint="export it again")
        return content

    def _checksums(self) -> dict[str, str]:
        found = {}
        for line in self.read(CHECKSUMS).decode("utf-8", "replace").splitlines():
            digest, _, name = line.partition("  ")
            found[name] = digest
        return found

    def _of_zip(self) -> Callable[[str], bytes]:
        try:
            archive = zipfile.ZipFile(self.path)
        except (OSError, zipfile.BadZipFile) as error:
            raise PermanentError(f"{self.path} is no package: {error}") from error
        top = next((name.removesuffix(MANIFEST) for name in archive.namelist() if name.endswith(f"/{MANIFEST}")), "")
        return lambda name: archive.read(top + name)


def is_package(path: Path) -> bool:
    """Whether a folder, or a file by its name, is a package."""
    return path.suffix == ".zip" or (path.is_dir() and (path / MANIFEST).is_file())
