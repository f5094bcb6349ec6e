"""The fact of a run that another tool tracked, and that was taken over."""

from __future__ import annotations

from datetime import datetime

from trimtab.records.base import Record
from trimtab.records.fact import Fact


class ImportedFile(Record, kw_only=True):
    """A file of an imported run: its path there and its bytes. `digest` is the blob of its content, empty where it was
    left at its place and is only known by its path."""

    path: str
    size: int
    digest: str = ""


class RunImported(Fact, kw_only=True):
    """A run as the store of another tool told it. What it measured was not measured here: it is shown beside our
    models, and no decision is made from it. Key: `imported:<tool>:<run>:<digest of the store's summary of it>`; of
    several of one run the newest counts.

    `metrics` are the last values of each, `history` the blob of all points (see `Points`; empty: none). `files_at` is
    where its files lie, as the store says. `registered` are its versions in the store's model registry, as
    `name version`, with aliases. `left_out` counts what was not taken over, by reason.
    """

    tool: str
    store: str
    run: str
    name: str
    experiment: str
    outcome: str
    started: datetime
    ended: datetime | None
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    datasets: tuple[str, ...]
    registered: tuple[str, ...]
    history: str
    points: int
    files_at: str
    files: tuple[ImportedFile, ...]
    left_out: dict[str, int]


class Points(Record, kw_only=True):
    """One metric by step, in the order of steps: `at` are milliseconds since 1970; a value that is no finite number is
    None. The blob of a run's history is JSON of these by the metric's name."""

    steps: tuple[int, ...]
    at: tuple[int, ...]
    values: tuple[float | None, ...]
