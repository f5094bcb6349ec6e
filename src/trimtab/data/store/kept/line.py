"""A line of versions, trunk or branch, as those see it that merge it, let go of it or write it out as files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import polars as pl

    from trimtab.data.spec import DatasetSpec
    from trimtab.data.store.state import DatasetVersion
    from trimtab.data.store.tables.table import Table


class Line(Protocol):
    """What is asked of it; `DatasetStore` says more of each."""

    spec: DatasetSpec
    branch: str

    @property
    def table(self) -> Table:
        """The table of its rows."""
        ...

    def versions(self) -> list[DatasetVersion]:
        """Every version, oldest first."""
        ...

    def version(self, name: str | None = None) -> DatasetVersion:
        """A version by tag or id, the newest for None. Raises DataError where there is none."""
        ...

    def read(self, version: str | None = None, *, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Rows of a version, in order of time and key."""
        ...

    def contents(self, digests: Sequence[bytes]) -> list[bytes]:
        """The bytes of media, by digest."""
        ...

    def files(self, version: DatasetVersion) -> set[str]:
        """The files that hold a version's rows, by name."""
        ...

    def step(self, version: DatasetVersion, after: DatasetVersion | None) -> tuple[pl.DataFrame, pl.Series]:
        """What lies between two versions: the rows that came, with digests, and the digests that went."""
        ...
