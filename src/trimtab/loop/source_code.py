"""The user's code and hyper-parameters as they stand now, by their digests."""

from __future__ import annotations

from pathlib import Path

import msgspec

from trimtab.declaration.system import System
from trimtab.training.identity import code_digest, params_digest


class SourceCode:
    """Digests the code again only when a Python file of the system's folder has changed."""

    def __init__(self, system: System) -> None:
        self._folder = Path(system.folder)
        self._entry = self._folder / system.model.code
        spec = system.model
        self._params = params_digest(
            {"params": msgspec.to_builtins(spec.params), "seed": spec.seed, "inputs": list(spec.inputs)}
        )
        self._stamps: tuple[tuple[str, int, int], ...] = ()
        self._code = ""

    def digests(self) -> tuple[str, str]:
        """(code, hyper-parameters)."""
        stamps = tuple(
            (str(path), stat.st_mtime_ns, stat.st_size)
            for path in sorted(self._folder.rglob("*.py"))
            for stat in (path.stat(),)
        )
        if stamps != self._stamps:
            self._code = code_digest(self._entry, self._folder).digest
            self._stamps = stamps
        return self._code, self._params
