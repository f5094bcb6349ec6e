"""`trimtab.adopt`: a fitted model and its rows become a system, in one call from a notebook or a script."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from textwrap import wrap
from typing import Any

from trimtab.adoption.code import write_estimator
from trimtab.adoption.folder import DATA, suggestions, write_declaration, write_model
from trimtab.adoption.rows import Adopted, rows_of
from trimtab.errors import PermanentError
from trimtab.records.facts import ActionFinished, ModelTrained
from trimtab.records.requirement import Estimate


@dataclass(frozen=True)
class Adoption:
    """What became of an adopted model: its `folder`, the `requirements` that were suggested, what the model trained
    anew was measured at on the newest rows, and what is live. `notes` say what to look at."""

    folder: Path
    requirements: dict[str, str]
    metrics: dict[str, Estimate]
    live: str
    notes: tuple[str, ...]

    def __str__(self) -> str:
        figures = [f"{name}\xa0{e.figure:.4g}" for name, e in self.metrics.items() if e.figure is not None]
        measured = wrap(f"  measured: {', '.join(figures)}", 80, subsequent_indent=" " * 12, break_long_words=False)
        lines = [f"adopted into {self.folder}: {self.live or 'nothing is live'}"]
        lines += [line.replace("\xa0", " ") for line in measured]  # no name is parted from its figure
        lines += [f"  required: {name} {limit}" for name, limit in self.requirements.items()]
        for note in self.notes:
            lines += wrap(f"  note: {note}", 80, subsequent_indent=" " * 8, break_long_words=False)
        return "\n".join([*lines, f"  next: trimtab up {quote(str(self.folder))}"])


def adopt(
    model: Any,
    X: Any,  # noqa: N803 - as everywhere
    y: Any,
    *,
    folder: str | Path,
    name: str = "",
    problem: str = "",
    time: str | None = None,
    key: str | None = None,
    label: str = "",
) -> Adoption:
    """Turn a fitted scikit-learn, LightGBM or XGBoost estimator and the rows it was fitted on into a system.

    `X` is a pandas or Polars frame, or an array [n, features]; `y` are the n labels. `time` and `key` name columns of X
    that say when a row was and which one it is: neither is an input. `label` names the labels' column, as y is called
    or "label". `folder`, which must be empty or not there, gets
    trimtab.toml, model.py and the rows. The model is trained again by Trimtab on all but the newest fifth of the rows
    and measured on that; requirements are suggested from what it was measured at; the first release goes live.

    Raises PermanentError, and leaves no folder behind, for what cannot be adopted.
    """
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise PermanentError(
            f"{target} is not an empty folder", hint="name another one: an adoption overwrites nothing"
        )
    now = datetime.now(UTC)
    written = write_estimator(model)
    rows = rows_of(X, y, model=model, time=time, key=key, label=label, now=now)
    called = name or re.sub(r"[^A-Za-z0-9_-]+", "-", target.name).strip("-_0123456789") or "adopted"
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PermanentError(
            f"{target} cannot be made: {error.strerror or error}", hint="name a folder that you may write to"
        ) from error
    try:
        rows.frame.write_parquet(target / DATA)
        write_model(target, written)
        said = problem or f"What {type(model).__name__} was fitted for"

        def declare(requirements: dict[str, str]) -> None:
            write_declaration(
                target, name=called, problem=said, rows=rows, params=written.params, requirements=requirements
            )

        declare({})
        metrics = _first_model(target, now)
        required = suggestions(metrics, rows.task)
        declare(required)
    except BaseException:
        _remove(target)
        raise
    live = _settle(target, now)
    return Adoption(target, required, metrics, live, tuple(_notes(rows)))


def _first_model(folder: Path, now: datetime) -> dict[str, Estimate]:
    """Collect the rows and train once, and what the model was measured at. Raises PermanentError where there is none.
    The loop finds it trained later."""
    from trimtab.wiring.loop import running
    from trimtab.wiring.place import open_place

    with open_place(folder, None) as place, place.lead():
        loop, _ = running(place, say=None, at=now)
        loop.settle(now)
        entry = place.ledger.last(ModelTrained)
        outcomes = [e.fact for e in place.ledger.entries(ActionFinished) if e.fact.outcome != "done"]
    if entry is None:
        why = outcomes[-1].summary if outcomes else "nothing was trained"
        raise PermanentError(f"the model cannot be trained again: {why}")
    return dict(entry.fact.metrics)


def _settle(folder: Path, now: datetime) -> str:
    """Let the loop judge by the suggested requirements; what is live."""
    from trimtab.loop.status import read_status
    from trimtab.wiring.loop import running
    from trimtab.wiring.place import open_place

    with open_place(folder, None) as place, place.lead():
        loop, _ = running(place, say=None, at=now)
        loop.settle(now)
        status = read_status(place.system, place.ledger)
    return f"{status.live.release} is live" if status.live is not None else ""


def _notes(rows: Adopted) -> list[str]:
    notes = []
    if rows.invented_time:
        notes.append("the rows have no time, so their order stands for it; name the column with time=...")
    if rows.key == "row":
        notes.append("the rows have no key, so they are numbered; name the column with key=...")
    if rows.task == "binary_classification":
        labels = rows.frame.get_column(rows.label)
        if isinstance(positive := labels.max(), str):
            notes.append(f"scores are the probability of {positive!r}, the positive class as the later by the alphabet")
    return notes


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
