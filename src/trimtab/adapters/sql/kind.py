"""What may be declared of `source = "sql+postgresql://..."` and `source = "sql:VARIABLE"`."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from trimtab.data.kinds import Duration, SourceKind
from trimtab.errors import DeclarationError
from trimtab.records.base import Record

_SECRET = re.compile(r"passw|secret|token|key", re.IGNORECASE)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SELECT = re.compile(r"\s*(?:--[^\n]*\n\s*)*(?:select|with|values|table)\b", re.IGNORECASE)


class SqlOptions(Record):
    """`table` (`orders`, or `schema.orders`) or `query` says which rows.

    Without `cursor` they are read in order of time. `cursor` is a column that grows whenever a row is added or changed
    (a moment of change, a version): only rows beyond the greatest one are then asked for, and it is no column of the
    dataset unless it is its key, time or label. `password_env` names the environment variable that holds the password.
    `page_rows` rows are read at a time; a statement may take `timeout`.
    """

    table: str = ""
    query: str = ""
    cursor: str = ""
    password_env: str = ""
    page_rows: int = 20_000
    timeout: Duration = 300.0
    tries: int = 5


def check(source: str, options: SqlOptions) -> None:
    """Raises DeclarationError where address and options do not fit, or hold a secret."""
    if source.startswith("sql:"):
        variable = source.removeprefix("sql:")
        if not _VARIABLE.fullmatch(variable):
            raise DeclarationError(
                f'"{source}" does not name an environment variable',
                hint='write "sql+postgresql://reader@host/shop", or "sql:SHOP_DATABASE" and put the address there',
            )
    else:
        _check_address(source.removeprefix("sql+"))
    if bool(options.table) == bool(options.query):
        raise DeclarationError("either a table or a query says which rows", hint='write options = { table = "orders" }')
    if options.query and not _SELECT.match(options.query):
        raise DeclarationError("the query does not begin with SELECT or WITH", hint="a source only reads")
    if options.password_env and not _VARIABLE.fullmatch(options.password_env):
        raise DeclarationError("password_env is not the name of an environment variable", hint='write "SHOP_PASSWORD"')


def _check_address(address: str) -> None:
    try:
        found = urlsplit(address)
        password = found.password
    except ValueError as error:
        raise DeclarationError(f"the address cannot be read: {error}") from error
    if not re.fullmatch(r"\w+(\+\w+)?", found.scheme) or not address.startswith(f"{found.scheme}://"):
        raise DeclarationError("the address is not one of a database", hint='write "sql+postgresql://reader@host/shop"')
    named = [part.partition("=")[0] for part in found.query.split("&")]
    if password is not None or any(_SECRET.search(name) for name in named):
        raise DeclarationError(
            "the address holds a password, which does not belong in the declaration",
            hint='leave it out and write options = { password_env = "NAME_OF_A_VARIABLE" }',
        )


KIND = SourceKind(SqlOptions, check)
