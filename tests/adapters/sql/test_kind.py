"""What may be declared of a database, and what is refused with its mend."""

from __future__ import annotations

import pytest

from trimtab.adapters.sql.kind import KIND, SqlOptions
from trimtab.errors import DeclarationError

ORDERS = {"table": "orders"}


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("sql+sqlite:///shop.db", ORDERS),
        ("sql+postgresql://reader@db.example.com:5432/shop?sslmode=require", ORDERS | {"password_env": "SHOP"}),
        ("sql+mysql+pymysql://reader@db/shop", {"query": "-- all\n  with a as (select 1) select * from a"}),
        ("sql:SHOP_DATABASE", {"query": "SELECT * FROM orders"}),
    ],
)
def test_what_may_be_declared(source: str, options: dict[str, str]) -> None:
    KIND.check(source, SqlOptions(**options))


@pytest.mark.parametrize(
    ("source", "options", "said"),
    [
        ("sql+postgresql://reader:s3cret@db/shop", ORDERS, "holds a password"),
        ("sql+postgresql://reader@db/shop?password=s3cret", ORDERS, "holds a password"),
        ("sql+orders", ORDERS, "is not one of a database"),
        ("sql:s3cret word", ORDERS, "does not name an environment variable"),
        ("sql+sqlite:///a.db", {}, "either a table or a query"),
        ("sql+sqlite:///a.db", ORDERS | {"query": "select 1"}, "either a table or a query"),
        ("sql+sqlite:///a.db", {"query": "delete from orders"}, "does not begin with SELECT"),
        ("sql+sqlite:///a.db", ORDERS | {"password_env": "a b"}, "not the name of an environment variable"),
        ("sql+sqlite://[a/a.db", ORDERS, "cannot be read"),
    ],
)
def test_what_does_not_fit_is_refused(source: str, options: dict[str, str], said: str) -> None:
    with pytest.raises(DeclarationError, match=said) as caught:
        KIND.check(source, SqlOptions(**options))
    assert "s3cret" not in str(caught.value) or source.startswith("sql:")
    assert caught.value.hint or "read" in said or "name of" in said
