"""What a store does for datasets with personal columns: rows are sealed before they are kept, and opened when read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import polars as pl

from trimtab.data.intake import CONTENT, Screened
from trimtab.data.port import DIGEST, DataError
from trimtab.data.privacy.keys import KeyStore
from trimtab.data.privacy.master import read_master_key
from trimtab.data.privacy.sealing import Gone, Sealing, of_person, sealed_columns, stored_types
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.state import DatasetVersion, Quarantined
from trimtab.data.store.tables.table import Table
from trimtab.data.values.digest import row_digests

FORGOTTEN = "forgotten: the source still gives rows of people who were forgotten here"
KEYS = "keys"


def key_store(root: Path, spec: DatasetSpec) -> KeyStore:
    """The keys of the state that dataset `spec` lies in, below `root`: they are beside the data, never among it."""
    return KeyStore(root.parent / KEYS, partial(read_master_key, spec.privacy.master_key))


class Personal:
    """The personal columns of one store's dataset."""

    def __init__(self, root: Path, spec: DatasetSpec) -> None:
        self._spec = spec
        self.sealing = Sealing(spec, key_store(root, spec))
        self._opened: tuple[object, int, pl.DataFrame] | None = None

    def types(self, stored: dict[str, pl.DataType], version: DatasetVersion) -> dict[str, pl.DataType]:
        """The types of a version's columns as rows come in. Raises DataError where its versions hold readable what is
        personal now, or sealed what no longer is."""
        sealed = {name for name in self.sealing.columns if name in stored}
        for name in sorted(sealed ^ version.personal.keys()):
            state = "readable" if name in sealed else "sealed"
            raise DataError(
                f"dataset {self._spec.name!r}: its versions hold {name!r} {state}, which the declaration changed",
                hint="collect it anew: move its folder out of the state's `data`, and remove that when all is well",
            )
        return stored | stored_types(version.personal)

    def conceal(self, screened: Screened, now: datetime) -> tuple[Screened, dict[str, str], int]:
        """Accepted and refused rows sealed, with the families of what was sealed, and how many rows were left out
        because their person is forgotten."""
        bare = screened.good.drop(DIGEST, strict=False)
        families = self.sealing.types(bare)
        good, gone = self.sealing.seal(bare) if bare.height else (self._blank(bare), 0)
        good = good.with_columns(row_digests(good))
        bad = self.sealing.seal_refused(screened.bad, "key", CONTENT, now)
        return replace(screened, good=good, bad=bad), families, gone

    def needed(self, wanted: Sequence[str]) -> list[str]:
        """What has to be read beside these columns to open them."""
        subject = str(self._spec.subject)
        sealed = any(name in self.sealing.columns for name in wanted)
        return [subject] if sealed and subject not in wanted else []

    def reveal(self, rows: pl.DataFrame, version: DatasetVersion, *, gone: Gone = "null") -> pl.DataFrame:
        """Rows with the subject's column, opened."""
        if self._spec.subject not in rows.columns:
            return rows
        return self.sealing.open(rows, version.personal, gone=gone)

    def of_person(self, table: Table, version: DatasetVersion, person: bytes, *, read: bool) -> pl.DataFrame:
        """The rows of one person in a version, opened, or their digests alone."""
        if self._spec.subject not in version.columns:
            return pl.DataFrame(schema={DIGEST: pl.Binary})
        where = of_person(str(self._spec.subject), person)
        rows = table.read(version.number, columns=[*version.columns, DIGEST] if read else [DIGEST], where=where)
        return self.reveal(rows, version) if read else rows

    def refused(self, found: Quarantined) -> Quarantined:
        """Refused rows as they came."""
        return Quarantined(found.reasons, self.sealing.open_refused(found.rows, CONTENT))

    def reveal_recent(self, rows: pl.DataFrame, version: DatasetVersion) -> pl.DataFrame:
        """Likewise of the newest rows, which are asked for again and again."""
        generation = self.sealing.generation
        held = self._opened
        if held is None or held[0] is not rows or held[1] != generation:
            held = self._opened = (rows, generation, self.reveal(rows, version, gone="left out"))
        return held[2]

    def _blank(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(pl.col(name).cast(pl.String) for name in self.sealing.columns if name in rows.columns)


def personal_of(root: Path, spec: DatasetSpec) -> Personal | None:
    """None where the dataset has no personal columns, which costs nothing."""
    return Personal(root, spec) if spec.subject is not None else None


def families_of(before: DatasetVersion | None, families: Mapping[str, str]) -> dict[str, str]:
    """The families of all sealed columns, of those that came earlier too."""
    return {**(before.personal if before is not None else {}), **families}


def readable(spec: DatasetSpec, columns: Sequence[str]) -> list[str]:
    """The columns that may leave without a word: all but the sealed ones."""
    sealed = sealed_columns(spec)
    return [name for name in columns if name not in sealed]
