"""A database that is only read: found by its address, asked one statement at a time, its errors told as ours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)

from trimtab.adapters.sql.kind import SqlOptions
from trimtab.data.port import DataError
from trimtab.errors import TemporaryError, TrimtabError

_DRIVERS = {"postgresql": "pg8000", "mysql": "pymysql", "mariadb": "pymysql"}
"""Those with a permissive licence, where the address names none."""
_EXTRAS = {"pg8000": "postgresql"}
_READ_ONLY = {
    "postgresql": ("SET TRANSACTION READ ONLY", "SET LOCAL statement_timeout = {ms}"),
    "mysql": ("SET TRANSACTION READ ONLY", "SET SESSION max_execution_time = {ms}"),
    "mariadb": ("SET TRANSACTION READ ONLY", "SET SESSION max_statement_time = {s}"),
    "sqlite": ("PRAGMA query_only = ON",),
}
_TEMPORARY_STATES = ("08", "40", "53", "55", "57")
"""Classes of SQLSTATE: connection, transaction rollback, resources, object in use, operator intervention."""


class Database:
    """One database; `named` is what errors begin with. A secret in the address reaches no error."""

    def __init__(
        self, address: str, options: SqlOptions, folder: Path, environment: Mapping[str, str], named: str
    ) -> None:
        self._named = named
        self._options = options
        url = self._url(address, environment)
        self._secret = str(url.password or "")
        try:
            self._engine = sa.create_engine(_placed(url, folder, named), poolclass=sa.NullPool, hide_parameters=True)
        except ModuleNotFoundError as error:
            extra = _EXTRAS.get(str(error.name))
            raise DataError(
                f"{named}: the driver {error.name} is not installed",
                hint=f"pip install 'trimtab[{extra}]'" if extra else f"pip install {error.name}",
            ) from error
        except (NoSuchModuleError, ArgumentError) as error:
            raise DataError(
                f"{named}: there is no driver for {url.drivername}://",
                hint="install its SQLAlchemy dialect, or look at how the address begins",
            ) from error

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that cannot write. What the database complains of is raised as TemporaryError or DataError."""
        try:
            with self._engine.connect() as connection:
                for statement in _READ_ONLY.get(self._engine.dialect.name, ()):
                    seconds = self._options.timeout
                    connection.exec_driver_sql(statement.format(ms=int(seconds * 1000), s=seconds))
                yield connection
                connection.rollback()
        except TrimtabError:
            raise
        except (SQLAlchemyError, OSError, UnicodeError) as error:
            raise self._told(error) from self._harmless(error)

    def _url(self, address: str, environment: Mapping[str, str]) -> sa.URL:
        if address.startswith("sql:"):
            variable = address.removeprefix("sql:")
            address = environment.get(variable, "").strip()
            if not address:
                raise DataError(
                    f"{self._named}: the environment variable {variable}, which holds the address, is not set"
                )
        try:
            url = sa.make_url(address.removeprefix("sql+"))
        except (ArgumentError, ValueError):
            raise DataError(f"{self._named}: the address cannot be read") from None  # it may hold a password
        if self._options.password_env:
            password = environment.get(self._options.password_env, "")
            if not password:
                raise DataError(
                    f"{self._named}: the environment variable {self._options.password_env}, which holds the password, "
                    "is not set"
                )
            url = url.set(password=password)
        if "+" not in url.drivername and url.drivername in _DRIVERS:
            url = url.set(drivername=f"{url.drivername}+{_DRIVERS[url.drivername]}")
        return url

    def _told(self, error: Exception) -> TrimtabError:
        said = _brief(error)
        text = f"{self._named}: {said.replace(self._secret, '***') if self._secret else said}"
        if _passes(error, self._engine.dialect.name):
            return TemporaryError(text, delay=0.0)
        return DataError(text, hint="look at `source` and `options`, and at what the database lets its user read")

    def _harmless(self, error: Exception) -> Exception:
        """The library's error, or its kind alone where its text holds the password."""
        return RuntimeError(type(error).__name__) if self._secret and self._secret in f"{error!r}{error}" else error


def _placed(url: sa.URL, folder: Path, named: str) -> sa.URL:
    """A file of SQLite is relative to the declaration, must be there, and is opened to be read."""
    if url.get_backend_name() != "sqlite":
        return url
    path = folder / (url.database or "")
    if not url.database or not path.is_file():
        raise DataError(f"{named}: there is no file {path}", hint="a path is relative to the declaration")
    return url.set(database=f"file:{path.resolve()}", query={"mode": "ro", "uri": "true", "timeout": "1"})


def _passes(error: Exception, dialect: str) -> bool:
    if not isinstance(error, DBAPIError):
        return isinstance(error, OSError)
    if dialect == "sqlite":
        return bool(re.search(r"locked|busy", str(error.orig)))
    state = _state(error.orig)
    if state:
        return state.startswith(_TEMPORARY_STATES)
    return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)


def _state(found: object) -> str:
    """The SQLSTATE of a driver's error, as psycopg, psycopg2 and pg8000 tell it; empty where it is not told."""
    told = getattr(found, "sqlstate", None) or getattr(found, "pgcode", None)
    first = next(iter(getattr(found, "args", ())), None)
    return str(told or (first.get("C", "") if isinstance(first, dict) else "") or "")


def _brief(error: Exception) -> str:
    found = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    first = next(iter(getattr(found, "args", ())), None)
    text = str(first["M"]) if isinstance(first, dict) and "M" in first else str(found)
    return " ".join(text.split())[:300] or type(found).__name__
