"""The trackers that `[tracking]` names: the embedded one and the adapters."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.adapters.catalog import find
from trimtab.errors import DeclarationError, TrimtabError, end_if_told
from trimtab.wiring.kinds import EMBEDDED_TRACKER, trackers

if TYPE_CHECKING:
    from trimtab.experiments.index import Index
    from trimtab.experiments.port import Tracker
    from trimtab.experiments.spec import TrackerSpec
    from trimtab.loop.passes.reconcile import Watcher
    from trimtab.loop.tracking import Copying
    from trimtab.wiring.place import Place


def open_tracker(spec: TrackerSpec, folder: Path) -> Tracker:
    """The tracker of one line, `folder` being where the declaration lies. Raises DeclarationError for one that nothing
    serves."""
    if spec.tool == EMBEDDED_TRACKER:
        from trimtab.experiments.folder import open_folder

        return open_folder(spec, folder)
    adapter = find("experiments", spec.tool)
    if adapter is None:
        known = ", ".join(trackers())
        raise DeclarationError(f"no tracker is called {spec.tool!r}", line=spec.line, hint=f"there is {known}")
    tracker: Tracker = adapter(spec, folder)
    return tracker


@contextmanager
def indexed(place: Place) -> Iterator[Index]:
    """The index of a system's trainings, as of now."""
    from trimtab.experiments.index import Index
    from trimtab.loop.tracking import refresh

    with Index(place.layout.trainings) as index:
        refresh(index, place.ledger, place.blobs)
        yield index


@contextmanager
def copying(place: Place) -> Iterator[Copying | None]:
    """What copies a system's trainings to its trackers; None while another process does, as two that write one training
    at a time would leave it twice."""
    from trimtab.experiments.index import Index
    from trimtab.loop.tracking import Copying

    folder = Path(place.system.folder)
    lock = place.layout.trainings.with_suffix(".lock")
    with Index(place.layout.trainings) as index, lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # given back when this process dies
        except BlockingIOError:
            yield None
            return
        yield Copying(
            place.system,
            ledger=place.ledger,
            blobs=place.blobs,
            index=index,
            opened=lambda spec: open_tracker(spec, folder),
        )


def waiting(place: Place) -> list[str]:
    """A line for each tracker that could not be written to, as the last pass left it."""
    if not place.layout.trainings.is_file():
        return []
    from trimtab.experiments.index import Index

    with Index(place.layout.trainings) as index:
        found = ((each.text, index.counts(each.text)[1], index.trouble(each.text)) for each in place.system.tracking.to)
        return [f"{count} trainings wait for {name}: {trouble.said}" for name, count, trouble in found if trouble]


def copied(place: Place, say: Watcher | None = None) -> None:
    """Copy what trackers lack, and say what came of it; nothing where none is declared. It never fails what it
    follows."""
    if not place.system.tracking.to:
        return
    told = say or _unheard
    try:
        with copying(place) as found:
            for each in found.copy() if found is not None else ():
                if each.trouble:
                    told("track", f"{each.waiting} trainings wait for {each.tracker}: {each.trouble}")
                elif each.written:
                    told("track", f"{each.written} trainings written to {each.tracker}")
    except TrimtabError as error:
        end_if_told(error)
        told("track", f"not now: {error.in_one_line()}")


def _unheard(_: str, __: str) -> None:
    """Nobody listens."""
