"""A past model made again: its rows as they were at its training, its kept code and settings, and a new worker."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from trimtab.data.kinds import SourceKinds
from trimtab.data.store.home import Home
from trimtab.declaration.system import System
from trimtab.errors import PermanentError
from trimtab.loop.past.stored import StoredDatasets
from trimtab.records.blobs import Blobs
from trimtab.records.facts import ModelTrained
from trimtab.records.journal import Entry
from trimtab.records.layout import Layout
from trimtab.records.ledger import Ledger
from trimtab.records.metric import Task, is_answered
from trimtab.training.again.otherwise import environment_then
from trimtab.training.again.reproduce import Reproduced, reproduce
from trimtab.training.job import TrainingJob
from trimtab.training.split import Split, split
from trimtab.training.trainer import Trainer


def make_again(
    system: System,
    ledger: Ledger,
    blobs: Blobs,
    layout: Layout,
    *,
    data: Home,
    entry: Entry[ModelTrained],
    kinds: SourceKinds,
) -> Reproduced:
    """Train the model of `entry` again and compare.

    The rows are those of the store that were known when it was trained, split as the declaration that was then in force
    split them; `kinds` are the sources it could name. Where they are not the same rows (they were completed since, or
    the split was declared otherwise) the result says so. It is trained with as many threads as then, since sums in
    another order round otherwise. Raises PermanentError where nothing of the model is kept.
    """
    kept = blobs.get_ref(f"job-{entry.fact.identity.id}")
    if kept is None:
        raise PermanentError(f"the settings of model {entry.fact.identity.id} are not kept here")
    job = msgspec.json.decode(blobs.get(kept), type=TrainingJob)
    parts = rows_then(system, ledger, data=data, entry=entry, kinds=kinds, task=job.task)
    then = environment_then(blobs, entry.fact.identity.id)
    with Trainer(blobs, layout.work, threads=then.threads if then else 1) as trainer:
        return reproduce(trainer, blobs, entry.fact, parts.train, parts.valid)


def rows_then(
    system: System, ledger: Ledger, *, data: Home, entry: Entry[ModelTrained], kinds: SourceKinds, task: Task
) -> Split:
    """The rows that a model was trained and judged on, as they can be found now: those of the store that were known
    when it was trained, split as the declaration that was then in force split them. Raises PermanentError where there
    are too few of them left."""
    then = _declared_then(system, ledger, entry, kinds)
    datasets = StoredDatasets(then, data, ledger)
    rows = datasets.labelled(entry.at)
    if not rows.height:
        raise PermanentError(f"no row that model {entry.fact.identity.id} was trained on is kept here any more")
    found = split(
        rows, spec=then.labelled, now=entry.at, window=then.model.window, holdout=then.model.holdout, task=task
    )
    if not is_answered(task):
        return found
    train, valid = (datasets.contents(rows) for rows in (found.train, found.valid))
    return replace(found, train=train, valid=valid)


def _declared_then(system: System, ledger: Ledger, entry: Entry[ModelTrained], kinds: SourceKinds) -> System:
    """The declaration in force when the model was trained; the present one where that can no longer be read."""
    from pathlib import Path

    from trimtab.declaration.load import parse
    from trimtab.errors import DeclarationError
    from trimtab.records.facts import SystemDeclared

    declared = [e.fact for e in ledger.entries(SystemDeclared) if e.seq < entry.seq]
    if not declared or declared[-1].digest == system.digest:
        return system
    try:
        return parse(declared[-1].text, Path(system.path), kinds)
    except DeclarationError:
        return system
