"""Real rows in order of time, and a folder with a user's model in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from trimtab.records.blobs import Blobs
from trimtab.records.metric import Task
from trimtab.training.job import TrainingJob
from trimtab.training.trainer import Trainer

START = datetime(2013, 1, 1, tzinfo=UTC)


def _timed(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows an hour apart, with a key: the first three quarters to train on, the rest to validate on."""
    count = frame.height
    at = pl.Series("at", [START + timedelta(hours=h) for h in range(count)], dtype=pl.Datetime("us", "UTC"))
    rows = frame.with_columns(at, id=pl.int_range(count))
    return rows.head(count * 3 // 4), rows.tail(count - count * 3 // 4)


def _real(task: Task) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Breast cancer, wine or diabetes, shuffled once, with a column of strings."""
    from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

    loader = {
        "binary_classification": load_breast_cancer,
        "multiclass_classification": load_wine,
        "regression": load_diabetes,
    }[task]
    data = loader()
    frame = pl.DataFrame(data.data[:, :10], schema=[f"f{i}" for i in range(10)])
    first = pl.col("f0")
    large = pl.when(first > first.quantile(0.6)).then(pl.lit("large")).otherwise(pl.lit("middle"))
    kind = pl.when(first > first.quantile(0.3)).then(large).otherwise(pl.lit("small"))
    frame = frame.with_columns(kind.alias("size"), y=pl.Series(data.target))
    return _timed(frame.sample(fraction=1.0, shuffle=True, seed=5))


@pytest.fixture
def real() -> Callable[[Task], tuple[pl.DataFrame, pl.DataFrame]]:
    """Real rows of a task: to train on, to validate on."""
    return _real


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


@pytest.fixture
def trainer(tmp_path: Path, blobs: Blobs) -> Iterator[Trainer]:
    with Trainer(blobs, tmp_path / "work", threads=1) as made:
        yield made


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., TrainingJob]:
    """Writes model.py (and other files) and gives a job for it."""

    def make(source: str, *, files: dict[str, str] | None = None, **settings: Any) -> TrainingJob:
        root = tmp_path / "system"
        for name, text in {"model.py": source, **(files or {})}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        known: dict[str, Any] = {
            "task": "binary_classification",
            "code": str(root / "model.py"),
            "root": str(root),
            "dataset": "d",
            "versions": {"d": "v1"},
            "key": ("id",),
            "time": "at",
            "label": "y",
            "bootstrap": 50,
            "time_limit": 50.0,
        }
        return TrainingJob(**{**known, **settings})

    return make
