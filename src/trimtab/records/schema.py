"""The tables of the ledger and how an older ledger becomes a present one. Nothing here is particular to one database
but the triggers, which each dialect spells its own way.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    insert,
    inspect,
    select,
    update,
)

from trimtab.errors import PermanentError

_whole = BigInteger().with_variant(Integer(), "sqlite")

tables = MetaData()

version = Table("trimtab_schema", tables, Column("version", Integer, primary_key=True, autoincrement=False))

facts = Table(
    "facts",
    tables,
    Column("seq", _whole, primary_key=True, autoincrement=False),
    Column("key", Text().with_variant(Text(collation="C"), "postgresql"), nullable=False),
    Column("at", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("fact", Text, nullable=False),
    Column("measured", Text, nullable=False),
    Column("chain", Text, nullable=False),
    Index("facts_by_key", "key", unique=True),
    Index("facts_by_kind", "kind", "seq", "key"),  # the key is there so that a prefix is looked for without the rows
)
"""Append-only. Texts as in `records.journal`."""

leases = Table(
    "leases",
    tables,
    Column("name", Text, primary_key=True),
    Column("token", _whole, nullable=False, unique=True),
    Column("holder", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started", Double, nullable=False),
    Column("since", Text, nullable=False),
    Column("expires", Text, nullable=False),
)
"""One row a lease, kept when it is released (`holder` is then empty). `token` grows with every take-over."""

_SQLITE_TRIGGERS = (
    """CREATE TRIGGER facts_are_never_changed BEFORE UPDATE ON facts
    BEGIN SELECT RAISE(ABORT, 'facts are append-only: none is changed'); END""",
    """CREATE TRIGGER facts_are_never_removed BEFORE DELETE ON facts
    BEGIN SELECT RAISE(ABORT, 'facts are append-only: none is removed'); END""",
    # INSERT OR REPLACE removes rows without firing the trigger above: what is not the next row is refused here
    """CREATE TRIGGER facts_follow_one_another BEFORE INSERT ON facts
    WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM facts)
      OR EXISTS (SELECT 1 FROM facts WHERE key = NEW.key)
    BEGIN SELECT RAISE(ABORT, 'facts are append-only: this is not the next one'); END""",
)


Migration = Callable[[Connection], None]
MIGRATIONS: tuple[Migration, ...] = ()
"""The nth brings a ledger from version n to n + 1, counted from 1. Only ever add to the end."""


def found_version(connection: Connection, where: str) -> int:
    """The schema version of the database at `where`: 0 when it is empty. Raises PermanentError when it is no ledger."""
    names = set(inspect(connection).get_table_names())
    if version.name in names:
        return int(connection.execute(select(version.c.version)).scalar_one())
    if names:
        raise PermanentError(f"{where} is a database with the table `{min(names)}`, not a ledger")
    return 0


def is_present(found: int, where: str, migrations: tuple[Migration, ...] = MIGRATIONS) -> bool:
    """Whether version `found` of the ledger at `where` is the present one; a later one raises PermanentError."""
    present = len(migrations) + 1
    if found > present:
        raise PermanentError(
            f"the ledger at {where} has schema version {found}, and this Trimtab knows versions up to {present}",
            hint="upgrade Trimtab: `pip install --upgrade trimtab`",
        )
    return found == present


def migrate(connection: Connection, where: str, migrations: tuple[Migration, ...] = MIGRATIONS) -> None:
    """Bring the database at `where` to the present version; the caller is in a transaction and holds the write lock.

    An empty database gets the present tables at once; an older ledger goes through each migration it lacks.
    """
    found = found_version(connection, where)
    if is_present(found, where, migrations):
        return
    if found == 0:
        tables.create_all(connection)
        if connection.dialect.name == "sqlite":
            for trigger in _SQLITE_TRIGGERS:
                connection.exec_driver_sql(trigger)
        connection.execute(insert(version).values(version=len(migrations) + 1))
        return
    for migration in migrations[found - 1 :]:
        migration(connection)
    connection.execute(update(version).values(version=len(migrations) + 1))
