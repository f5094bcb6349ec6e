"""The bakery of tests/systems, its history, and loops around it that train, gate and serve for real."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from trimtab.declaration.load import load
from trimtab.declaration.system import Replay, System
from trimtab.loop.passes.act import Actor
from trimtab.loop.passes.gate import Gate
from trimtab.loop.passes.observe import Observer
from trimtab.loop.passes.reconcile import Loop
from trimtab.loop.past.history import HistoricDatasets, load_history
from trimtab.loop.replay.steps import Replayer, Script
from trimtab.loop.source_code import SourceCode
from trimtab.loop.targets.embedded import EmbeddedServing
from trimtab.records.base import SimulatedClock
from trimtab.records.blobs import Blobs
from trimtab.records.ledger import Ledger
from trimtab.training.trainer import Trainer

BAKERY = Path(__file__).parent.parent / "systems" / "bakery"


@dataclass
class Run:
    """A loop over the bakery's history, with everything it is made of."""

    system: System
    span: Replay
    history: pl.DataFrame
    ledger: Ledger
    blobs: Blobs
    datasets: HistoricDatasets
    serving: EmbeddedServing
    observer: Observer
    gate: Gate
    actor: Actor
    loop: Loop
    said: list[tuple[str, str]]

    def replay(self, until: datetime) -> None:
        """Callers and passes of each day up to a moment; goes on where it was."""
        Replayer(
            system=self.system,
            span=msgspec.structs.replace(self.span, end=until),
            script=Script(self.history, self.system, self.span.start),
            loop=self.loop,
            traffic=self.serving,
            clock=SimulatedClock(self.span.start),
            ledger=self.ledger,
            chunk=self.span.step,
        ).run(lambda *_: None)


Make = Callable[..., Run]


@pytest.fixture(scope="session")
def history() -> pl.DataFrame:
    """Every row of the bakery, with features."""
    system = load(BAKERY)
    assert system.replay is not None
    return load_history(system, system.replay.end)


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that any test trained: the same one is not trained again."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def make(tmp_path: Path, kept: Path, history: pl.DataFrame) -> Iterator[Make]:
    """Makes runs of the bakery; `policy` and other words change the declaration, `own` gives it a folder to edit, and
    `edits` (file, what stands there, what shall) edits it before anything is read."""
    with ExitStack() as open_until_the_end:

        def made(
            *,
            policy: dict[str, Any] | None = None,
            own: bool = False,
            edits: Sequence[tuple[str, str, str]] = (),
            **changes: Any,
        ) -> Run:
            folder, rows = BAKERY, history
            if own or edits:
                folder = tmp_path / "bakery"
                shutil.copytree(BAKERY, folder, ignore=shutil.ignore_patterns("__pycache__"))
            for name, old, new in edits:
                text = (folder / name).read_text()
                assert old in text
                (folder / name).write_text(text.replace(old, new))
            system = msgspec.structs.replace(load(folder), **changes)
            if policy:
                system = msgspec.structs.replace(system, policy=msgspec.structs.replace(system.policy, **policy))
            assert system.replay is not None
            if edits:
                rows = load_history(system, system.replay.end)
            ledger = open_until_the_end.enter_context(Ledger.open(None))
            blobs, said = Blobs(kept / "blobs"), []
            trainer = open_until_the_end.enter_context(Trainer(blobs, tmp_path / "work"))
            datasets, serving = HistoricDatasets(system, rows), EmbeddedServing(blobs)
            observer = Observer(system, ledger, blobs, datasets, serving, SourceCode(system).digests)
            gate = Gate(system, ledger, blobs, datasets)
            actor = Actor(system, ledger, datasets, observer, trainer, gate)
            loop = Loop(
                system=system,
                ledger=ledger,
                serving=serving,
                observer=observer,
                actor=actor,
                watch=lambda *words: said.append(words),
            )
            return Run(
                system=system,
                span=system.replay,
                history=rows,
                ledger=ledger,
                blobs=blobs,
                datasets=datasets,
                serving=serving,
                observer=observer,
                gate=gate,
                actor=actor,
                loop=loop,
                said=said,
            )

        yield made
