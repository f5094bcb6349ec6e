"""Rows and specs that the tests of datasets share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from trimtab.data.spec import DatasetSpec
from trimtab.data.store.versions import DatasetStore

START = datetime(2026, 1, 1, tzinfo=UTC)


def hours(count: float) -> datetime:
    """So many hours after the start."""
    return START + timedelta(hours=count)


def trips(first: int, last: int, **columns: Any) -> pl.DataFrame:
    """One trip an hour from `first` (included) to `last` (excluded); `columns` replaces or adds."""
    numbers = range(first, last)
    rows: dict[str, Any] = {
        "id": [f"trip-{n}" for n in numbers],
        "at": [hours(n) for n in numbers],
        "minutes": [n % 50 for n in numbers],
        "fare": [n * 1.25 for n in numbers],
        "town": ["Ulm" if n % 3 else None for n in numbers],
        "late": [bool(n % 2) for n in numbers],
    }
    return pl.DataFrame(rows | columns)


@pytest.fixture
def spec() -> DatasetSpec:
    return DatasetSpec(name="trips", source="trips.parquet", key=("id",), time="at")


@pytest.fixture
def store(tmp_path: Path, spec: DatasetSpec) -> DatasetStore:
    return DatasetStore(tmp_path, spec)


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., DatasetStore]:
    """A store of trips whose spec differs in what is named."""

    def made(**changes: Any) -> DatasetStore:
        fields = {"name": "trips", "source": "x.parquet", "key": ("id",), "time": "at"} | changes
        return DatasetStore(tmp_path, DatasetSpec(**fields))

    return made
