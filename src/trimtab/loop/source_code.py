"""The user's code and hyper-parameters as they stand now, by their digests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from trimtab.declaration.system import System
from trimtab.errors import DeclarationError
from trimtab.training.identity import code_digest, params_digest


class SourceCode:
    """Digests the code again only when a Python file of the system's folder has changed."""

    def __init__(self, system: System) -> None:
        self._folder = Path(system.folder)
        self._entry = self._folder / system.model.code
        spec = system.model
        said = {"params": msgspec.to_builtins(spec.params), "seed": spec.seed, "inputs": list(spec.inputs)}
        if spec.threshold != "break_even":
            said["threshold"] = spec.threshold
        self._params = params_digest(said)
        self._stamps: tuple[tuple[str, int, int], ...] = ()
        self._code = ""

    def digests(self) -> tuple[str, str]:
        """(code, hyper-parameters)."""
        stamps = tuple(sorted(_stamps(self._folder)))
        if stamps != self._stamps:
            self._code = self._digest()
            self._stamps = stamps
        return self._code, self._params

    def _digest(self) -> str:
        """Code that cannot be read has a digest too: someone may be in the middle of an edit, and the loop goes on."""
        try:
            return code_digest(self._entry, self._folder).digest
        except DeclarationError as error:
            return params_digest({"unreadable": str(error)})


def _stamps(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Every Python file with its time and size; hidden folders (the state's among them) are left out."""
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__pycache__"))]
        for name in files:
            if name.endswith(".py"):
                with suppress(FileNotFoundError):  # an editor was faster
                    stat = Path(place, name).stat()
                    yield str(Path(place, name)), stat.st_mtime_ns, stat.st_size
