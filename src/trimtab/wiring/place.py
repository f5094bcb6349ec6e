"""A system and where its state lies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trimtab.declaration.load import FILE_NAME, load
from trimtab.declaration.system import Replay, System
from trimtab.errors import DeclarationError
from trimtab.loop.belonging import require_own
from trimtab.records.base import SystemClock
from trimtab.records.blobs import Blobs
from trimtab.records.layout import Layout
from trimtab.records.ledger import Ledger
from trimtab.wiring.kinds import source_kinds

MODEL_FILE = ".onnx"
_OTHER_MODELS = frozenset(
    (".pkl", ".pickle", ".joblib", ".skops", ".pt", ".pth", ".ckpt", ".safetensors", ".h5", ".keras", ".tflite", ".cbm")
)

if TYPE_CHECKING:
    from datetime import datetime

    from trimtab.data.store.home import Home
    from trimtab.records.lease import Lease


@dataclass
class Place:
    """One system and where its state lies."""

    system: System
    layout: Layout
    ledger: Ledger
    blobs: Blobs

    @property
    def data(self) -> Home:
        """Where its dataset versions lie. Keys for a bucket come from the environment, and stay there."""
        from trimtab.data.store.home import Home  # here: most verbs touch no rows

        store = self.system.store
        return Home(self.layout.data, store.url, os.environ, one_writer=store.writers == "one")

    def keep(self) -> Lease:
        """The lease of the one process that goes on running this system's loop."""
        from trimtab.records.lease import Lease  # psutil comes with it

        return Lease(self.ledger, "watch")

    @contextmanager
    def lead(self) -> Iterator[Lease]:
        """Run this system's loop, as one process at a time may; should the lease be lost, nothing is written any more.
        A process that was killed has lost it at once."""
        from trimtab.records.lease import Lease

        self.blobs.sweep(SystemClock().now() - timedelta(days=1))  # what killed processes had half written
        with Lease(self.ledger) as lease, self.ledger.fenced(lease.token):
            yield lease


@contextmanager
def open_place(
    path: str | Path,
    state: Path | None,
    *,
    create: bool = True,
    memory: bool = False,
    lasting: bool = True,
    until: datetime | None = None,
    window: str | None = None,
) -> Iterator[Place]:
    """Load a declaration and open its state; without `create` a missing ledger is an error that says what to run, and
    state of another system always is one.

    `memory` keeps the ledger in memory only, and `lasting` false lets a power cut (not a killed process) take its
    newest facts: for replays. `until` ends the declared span early, and `window` overrides how far training looks back.
    """
    system = _adjusted(declared(path), until, window)
    layout = Layout(_state_of(system, state))
    if create:
        layout.root.mkdir(parents=True, exist_ok=True)
    with Ledger.open(None if memory else layout.ledger, create or memory, survive_power_cut=lasting) as ledger:
        require_own(system, ledger)
        yield Place(system=system, layout=layout, ledger=ledger, blobs=Blobs(layout.blobs))


def declared(path: str | Path) -> System:
    """The declaration at a path, checked against the sources that can be had."""
    refuse_model(Path(path))
    return load(Path(path), source_kinds())


def place_of(path: str | Path, state: Path | None) -> Path:
    """The state folder of a system, or of a model that is served by itself."""
    if not is_model(Path(path)):
        return _state_of(declared(path), state)
    from trimtab.loop.targets.model_file import place_of_model

    root = place_of_model(Path(path).absolute(), state).root
    if not root.exists() and not Path(path).exists():
        raise DeclarationError("there is no such model", path=path, hint="name the file that was served")
    return root


def is_model(path: Path) -> bool:
    """Whether a path is that of a model which can be served by itself: a model file, or an exported model."""
    if path.suffix == MODEL_FILE:
        return True
    if not (path.suffix == ".zip" or path.is_dir()) or (path / FILE_NAME).is_file():
        return False
    from trimtab.deployment.package.reading import is_package

    return is_package(path)


def refuse_model(path: Path) -> None:
    """Raises DeclarationError where a file that is a model by its name stands in the place of a declaration."""
    if path.suffix == MODEL_FILE:
        hint = "`trimtab serve`, `telemetry` and `token` take one; the others take the folder that holds a trimtab.toml"
        raise DeclarationError("this is a model file, which declares no system", path=path, hint=hint)
    if path.suffix.lower() in _OTHER_MODELS:
        hint = "export it to ONNX and serve that, or let trimtab.adopt(model, X, y, folder=...) train it again"
        raise DeclarationError(f"a model of the kind {path.suffix} is never loaded", path=path, hint=hint)


def _state_of(system: System, state: Path | None) -> Path:
    """Whole, as trainings and the server run in folders of their own."""
    return (state if state is not None else Path(system.folder) / ".trimtab").absolute()


def span_of(system: System) -> Replay:
    """The declared span of replays; an error that says what to write when there is none."""
    if system.replay is None:
        raise DeclarationError(
            "there is no `[replay]`, so there is no history to go through",
            path=system.path,
            hint='add [replay] with start, end and step = "1 d"',
        )
    return system.replay


def _adjusted(system: System, until: datetime | None, window: str | None) -> System:
    from trimtab.declaration.units import parse_duration

    if until is not None:
        span = msgspec.structs.replace(span_of(system), end=until)
        system = msgspec.structs.replace(system, replay=span)
    if window is not None:
        model = msgspec.structs.replace(system.model, window=parse_duration(window))
        system = msgspec.structs.replace(system, model=model)
    return system
