"""What processes have counted, kept beyond their end: a counter of the whole server never goes back.

Each process deposits its counters in a file of its own, every second and before it tells them to anybody. What was told
of a process that died is therefore in its file; only what it counted after that is lost. The supervisor folds the files
of processes that have ended into one. Whoever reads takes the files first and the fold last, and passes over the files
that the fold names, so that nothing is counted twice or not at all while it is being folded.
"""

from __future__ import annotations

from collections.abc import Set
from contextlib import suppress
from pathlib import Path

import msgspec

from trimtab.records.base import Record
from trimtab.serving.processes.exposition import Families, add_up, read_text, write_text

_SUFFIX = ".counted"


def tally_name(slot: int, turn: int) -> str:
    """Whose counters they are: of the process that took that seat for the `turn`-th time."""
    return f"{slot}-{turn}"


class _Fold(Record, kw_only=True):
    names: tuple[str, ...] = ()
    text: str = ""


class Tally:
    """The files in one folder. `name`: whose file `deposit` writes."""

    def __init__(self, folder: Path, name: str = "") -> None:
        self._folder = folder
        self._file = folder / f"{name}{_SUFFIX}"
        self._fold = folder / "ended.json"
        self._last = ""

    def deposit(self, text: str) -> None:
        """Keeps the counters of a Prometheus text; a disk that refuses them changes nothing."""
        if text != self._last:
            with suppress(OSError):
                _replace(self._file, text.encode())
                self._last = text

    def ended(self, living: Set[str]) -> Families:
        """The counters of processes that are not `living` any more, added up."""
        texts = {}
        for path in self._folder.glob(f"*{_SUFFIX}"):
            if path.stem not in living:
                with suppress(OSError):
                    texts[path.stem] = path.read_text()
        fold = self._folded()
        parts = [read_text(text) for name, text in texts.items() if name not in fold.names]
        return add_up([read_text(fold.text), *parts])

    def fold(self, name: str) -> None:
        """Adds the counters of a process that has ended to those of the others, and removes its file."""
        path = self._folder / f"{name}{_SUFFIX}"
        with suppress(OSError):
            fold = self._folded()
            if name not in fold.names:
                text = write_text(add_up([read_text(fold.text), read_text(path.read_text())]))
                _replace(self._fold, msgspec.json.encode(_Fold(names=(*fold.names, name)[-100:], text=text)))
            path.unlink()
        _draft(path).unlink(missing_ok=True)  # of one that was killed as it wrote

    def clear(self) -> None:
        """Forgets everything: a server begins."""
        for path in (*self._folder.glob(f"*{_SUFFIX}"), self._fold):
            path.unlink(missing_ok=True)

    def _folded(self) -> _Fold:
        try:
            return msgspec.json.decode(self._fold.read_bytes(), type=_Fold)
        except (OSError, msgspec.MsgspecError):
            return _Fold()


def _replace(path: Path, data: bytes) -> None:
    """Whole or not at all; it need not outlive a power cut."""
    draft = _draft(path)
    try:
        draft.write_bytes(data)
        draft.replace(path)
    except OSError:  # on a full disk half of it would be in the way
        draft.unlink(missing_ok=True)
        raise


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp")
