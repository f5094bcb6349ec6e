"""The datasets that an action of `trimtab data` is about, by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.cli.arguments import UsageError

if TYPE_CHECKING:
    from trimtab.data.store.versions import DatasetStore
    from trimtab.wiring.place import Place


class Stores:
    """The declared datasets by name."""

    def __init__(self, place: Place) -> None:
        self.place = place
        from trimtab.data.store.versions import DatasetStore

        extra = (place.system.annotations,) if place.system.annotations is not None else ()
        specs = (*place.system.data, *extra)
        self.folder = Path(place.system.folder)
        self.ledger = place.ledger
        self.all = {spec.name: DatasetStore(place.data, spec) for spec in specs}

    def named(self, called: str) -> DatasetStore:
        """A dataset by name, or a branch of it as NAME@BRANCH."""
        from trimtab.declaration.problems import did_you_mean

        name, sign, branch = called.partition("@")
        if name not in self.all:
            raise UsageError(
                f"no dataset is called {name!r}{did_you_mean(name, self.all)}", hint=f"there are {', '.join(self.all)}"
            )
        return self.all[name].on(branch) if sign else self.all[name]


def expect(words: list[str], least: int, most: int, usage: str) -> None:
    """Raises UsageError unless there are as many words as an action takes."""
    if not least <= len(words) <= most:
        raise UsageError(f"write `trimtab data {usage}`")
