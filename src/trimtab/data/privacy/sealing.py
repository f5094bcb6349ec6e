"""The rows of one dataset, sealed before they are kept and opened for those who may read them.

The cell of the subject's column becomes `PPPP…EEEEEEEE…`: the person's pseudonym (32 hexadecimal digits), the epoch of
the key (8), and the sealed name. The other personal cells are sealed alone. All become text: whoever has no key reads a
row like any other, and its digest is one of ciphertext.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Literal

import polars as pl
from blake3 import blake3

from trimtab.data.port import DataError
from trimtab.data.privacy.cells import FROM_BYTES, TO_BYTES, CellCipher
from trimtab.data.privacy.keys import KeyName, KeyStore
from trimtab.data.spec import DatasetSpec
from trimtab.data.values.digest import family
from trimtab.data.values.times import UTC_TIME

_PERSON = 32
_HEAD = 40
_DAY = 86_400.0
_TYPES: Mapping[str, pl.DataType] = {
    "i": pl.Int64(),
    "u": pl.UInt64(),
    "f": pl.Float64(),
    "b": pl.Boolean(),
    "t": UTC_TIME,
    "d": pl.Date(),
    "e": pl.Duration("us"),
    "o": pl.Time(),
    "s": pl.String(),
    "x": pl.Binary(),
}
_REFUSED = "sealed:"
_NOBODY = ""
_SEALED_ROW = "_row"
Gone = Literal["null", "left out"]


class Sealing:
    """Seals and opens the rows of `spec`, whose subject is declared, with keys of `keys`."""

    def __init__(self, spec: DatasetSpec, keys: KeyStore) -> None:
        assert spec.subject is not None
        self._spec = spec
        self._subject = spec.subject
        self.keys = keys
        self.columns = sealed_columns(spec)
        self._ciphers: dict[KeyName, CellCipher | None] = {}
        self._of = -1

    @property
    def generation(self) -> int:
        """Grows when somebody's keys are destroyed: what was opened before must not be used any more."""
        return self.keys.generation

    def types(self, rows: pl.DataFrame) -> dict[str, str]:
        """The families of the columns that are to be sealed. Raises DataError for a type that cannot be."""
        found = {name: family(rows.schema[name]) for name in self.columns if name in rows.columns}
        for name, kind in found.items():
            if kind not in _TYPES:
                raise DataError(
                    f"dataset {self._spec.name!r}: column {name!r} is personal and has type {rows.schema[name]}, which "
                    "cannot be sealed",
                    hint="give it as text, a number, a truth value or a time",
                )
        return found

    def seal(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:
        """Rows without digests → the same with every personal cell sealed, and how many were left out because their
        person is forgotten."""
        self.types(rows)
        kinds = {name: family(rows.schema[name]) for name in self.columns if name in rows.columns}
        people = [None if one is None else self.keys.pseudonym(str(one)) for one in rows.get_column(self._subject)]
        names = [
            None if p is None else KeyName(p, self._scope, e) for p, e in zip(people, self._epochs(rows), strict=True)
        ]
        known = self._ciphers_of({name for name in names if name is not None}, create=True)
        stay = [name is not None and known[name] is not None for name in names]
        gone = stay.count(False)
        if gone:
            rows = rows.filter(pl.Series(stay, dtype=pl.Boolean))
            names = [name for name, here in zip(names, stay, strict=True) if here]
        ciphers = [known[name] for name in names if name is not None]
        told = [
            "\x1f".join(map(str, row)).encode("utf-8", "surrogatepass") for row in rows.select(self._spec.key).rows()
        ]
        sealed = []
        for column, kind in kinds.items():
            write = TO_BYTES[kind]
            cells = [
                None if cell is None or cipher is None else cipher.seal(write(cell), column, row)
                for cell, cipher, row in zip(_numbers(rows.get_column(column), kind), ciphers, told, strict=True)
            ]
            if column == self._subject:
                cells = [None if c is None or n is None else _head(n) + c for c, n in zip(cells, names, strict=True)]
            sealed.append(pl.Series(column, cells, dtype=pl.String))
        return rows.with_columns(sealed), gone

    def open(self, rows: pl.DataFrame, types: Mapping[str, str], *, gone: Gone = "null") -> pl.DataFrame:
        """Sealed rows, the subject's column among them → the same with personal cells as they were, of the families
        `types`. Of people whose key was destroyed they are null, or their rows are left out."""
        heads = rows.get_column(self._subject).to_list()
        names = [None if cell is None else _name(cell, self._scope) for cell in heads]
        known = self._ciphers_of({name for name in names if name is not None})
        ciphers = [None if name is None else known[name] for name in names]
        opened = []
        for column in self.columns:
            if column not in rows.columns:
                continue
            kind = types[column]
            read, skip = FROM_BYTES[kind], _HEAD if column == self._subject else 0
            cells = [
                None if cell is None or cipher is None else read(cipher.open(cell[skip:], column))
                for cell, cipher in zip(rows.get_column(column).to_list(), ciphers, strict=True)
            ]
            physical = pl.Int64() if kind in "teo" else pl.Int32() if kind == "d" else _TYPES[kind]
            opened.append(pl.Series(column, cells, dtype=physical).cast(_TYPES[kind]))
        found = rows.with_columns(opened)
        if gone == "left out":
            here = [name is None or cipher is not None for name, cipher in zip(names, ciphers, strict=True)]
            found = found if all(here) else found.filter(pl.Series(here, dtype=pl.Boolean))
        return found

    def seal_refused(self, bad: pl.DataFrame, key: str, content: str, now: datetime) -> pl.DataFrame:
        """Refused rows, with the row as JSON in `content`: it is sealed under its person's key; a row that tells no
        person, under one of nobody. The key of a row is sealed too where it would tell the person."""
        if bad.is_empty():
            return bad
        texts, told = bad.get_column(content).to_list(), bad.get_column(key).to_list()
        people = [self.keys.pseudonym(self._person_in(text)) for text in texts]
        names = [KeyName(person, self._scope, self._epoch(now.timestamp())) for person in people]
        known = self._ciphers_of(set(names), create=True)
        personal_key = any(name in self.columns for name in self._spec.key)
        rows, heads, stay = [], [], []
        for name, text, head in zip(names, texts, told, strict=True):
            cipher = known[name]
            stay.append(cipher is not None)
            row = head.encode("utf-8", "surrogatepass")
            rows.append("" if cipher is None else self._refused(name, cipher.seal(text.encode(), _SEALED_ROW, row)))
            heads.append(name.person.hex() if personal_key else head)
        kept = bad.with_columns(pl.Series(key, heads, dtype=pl.String), pl.Series(content, rows, dtype=pl.String))
        return kept.filter(pl.Series(stay, dtype=pl.Boolean))

    def open_refused(self, rows: pl.DataFrame, content: str) -> pl.DataFrame:
        """Rows of the quarantine with their content as it came; of people who were forgotten it is null."""
        texts = rows.get_column(content).to_list()
        sealed = [text.removeprefix(_REFUSED) if text.startswith(_REFUSED) else None for text in texts]
        names = [None if one is None else _name(one, self._scope) for one in sealed]
        known = self._ciphers_of({name for name in names if name is not None})
        opened = [
            text if name is None or one is None else self._row(known[name], one)
            for text, name, one in zip(texts, names, sealed, strict=True)
        ]
        return rows.with_columns(pl.Series(content, opened, dtype=pl.String))

    def expiring(self, now: datetime) -> tuple[datetime, int]:
        """Up to which moment rows are older than the dataset's retention, and how many keys of theirs there are."""
        if self._spec.retention is None or not self.keys.exists():
            return now, 0
        epoch = self._epoch(now.timestamp() - self._spec.retention)
        before = datetime.fromtimestamp(epoch * self._stretch, UTC)
        return before, self.keys.count_before(self._scope, epoch)

    def expire(self, now: datetime) -> int:
        """Destroy those keys; returns how many."""
        if self._spec.retention is None or not self.keys.exists():
            return 0
        return self.keys.destroy_before(self._scope, self._epoch(now.timestamp() - self._spec.retention))

    @cached_property
    def _scope(self) -> bytes:
        """Where rows are kept for a time only, keys are of one dataset and one stretch of time."""
        return blake3(self._spec.name.encode()).digest(8) if self._spec.retention is not None else bytes(8)

    @cached_property
    def _stretch(self) -> float:
        """How long one key of such a dataset serves, in seconds: a twelfth of the retention, within 1 and 30 days."""
        return max(_DAY, min(30 * _DAY, (self._spec.retention or 0.0) / 12))

    def _epochs(self, rows: pl.DataFrame) -> list[int]:
        if self._spec.retention is None:
            return [0] * rows.height
        stamps = rows.get_column(self._spec.time).cast(UTC_TIME).to_physical().to_list()
        return [self._epoch(stamp / 1e6) for stamp in stamps]

    def _epoch(self, seconds: float) -> int:
        return 0 if self._spec.retention is None else math.floor(seconds / self._stretch)

    def _ciphers_of(self, names: set[KeyName], *, create: bool = False) -> Mapping[KeyName, CellCipher | None]:
        """The cipher of each key; None where it was destroyed."""
        generation = self.keys.generation
        if self._of != generation:
            self._ciphers, self._of = {}, generation
        if not names <= self._ciphers.keys():
            dataset = blake3(self._spec.name.encode()).digest(16)
            for name, key in self.keys.keys(names - self._ciphers.keys(), create=create).items():
                about = dataset + name.person + str(name.epoch).encode()
                self._ciphers[name] = None if key is None else CellCipher(key, about)
            self._of = self.keys.generation if self._of == 0 else self._of  # the first key made the file
        return self._ciphers

    def _person_in(self, text: str) -> str:
        try:
            found = json.loads(text).get(self._subject)
        except (ValueError, AttributeError):
            return _NOBODY
        return _NOBODY if found is None else str(found)

    def _refused(self, name: KeyName, sealed: str) -> str:
        return _REFUSED + _head(name) + sealed

    def _row(self, cipher: CellCipher | None, sealed: str) -> str | None:
        return None if cipher is None else cipher.open(sealed[_HEAD:], _SEALED_ROW).decode()


def sealed_columns(spec: DatasetSpec) -> tuple[str, ...]:
    """The subject's column and the personal ones; none where no subject is declared."""
    return tuple(dict.fromkeys([spec.subject, *spec.personal])) if spec.subject is not None else ()


def stored_types(types: Mapping[str, str]) -> dict[str, pl.DataType]:
    """What sealed columns are once they are opened, by their families."""
    return {name: _TYPES[kind] for name, kind in types.items()}


def of_person(subject: str, person: bytes) -> str:
    """Lance's filter for the rows of a person, by the pseudonym."""
    return f"`{subject}` LIKE '{person.hex()}%'"


def _head(name: KeyName) -> str:
    return f"{name.person.hex()}{name.epoch & 0xFFFFFFFF:08x}"


def _name(cell: str, scope: bytes) -> KeyName:
    epoch = int(cell[_PERSON:_HEAD], 16)
    return KeyName(bytes.fromhex(cell[:_PERSON]), scope, epoch - (1 << 32) if epoch >= 1 << 31 else epoch)


def _numbers(cells: pl.Series, kind: str) -> Sequence[object]:
    """Cells as Python's; times, dates and durations as the number they are kept as."""
    if kind == "t":
        cells = cells.cast(UTC_TIME)
    return (cells.to_physical() if kind in "tdeo" else cells).to_list()
