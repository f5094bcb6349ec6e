"""The user's features run from their stored source, apart from every other version of it."""

from __future__ import annotations

import io
import sys
import zipfile

import polars as pl
import pytest

from trimtab.errors import PermanentError
from trimtab.inference.features_code import derive, load_features
from trimtab.records.model import Column

COLUMNS = (Column(name="x", kind="number"),)
ROWS = pl.DataFrame({"x": [1, 2, 3]})


def stored(**files: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, source in files.items():
            archive.writestr(name.replace("__", "/") + ".py", source)
    return out.getvalue()


def test_neighbours_are_imported_in_every_way_a_script_may() -> None:
    code = stored(
        model="import helper\nfrom helper import double as d\nimport pkg.inner as i\nimport pkg.other\n"
        "def features(rows):\n    from pkg import other as late\n"
        "    return rows.with_columns(a=helper.double('x'), b=d('x'), c=i.C, e=pkg.other.E, f=late.E)",
        helper="import polars as pl\ndef double(name): return pl.col(name) * 2",
        pkg__inner="import polars as pl\nfrom .other import E\nfrom . import other\nC = pl.lit(10) + E + other.E",
        pkg__other="import polars as pl\nE = pl.lit(5)",
    )
    made = derive(load_features(code, "model"), ROWS, COLUMNS)
    assert made.row(0) == (1.0, 2.0, 2.0, 20, 5, 5)
    assert "helper" not in sys.modules
    assert "pkg" not in sys.modules


def test_two_versions_live_side_by_side() -> None:
    versions = [
        load_features(stored(model="from h import K\ndef features(r): return r * K", h=f"K = {k}"), "model")
        for k in (2, 3)
    ]
    assert [derive(v, ROWS, COLUMNS)["x"].to_list() for v in versions] == [[2, 4, 6], [3, 6, 9]]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def features(rows): return rows.head(1)", "returned 1 rows for 3"),
        ("def features(rows): return None", "returned NoneType; expected a Polars DataFrame"),
        ("def features(rows): return rows['nope']", "raised ColumnNotFoundError"),
        ("nothing = 1", "no function features"),
        ("import does_not_exist_anywhere\ndef features(rows): return rows", "cannot be imported"),
    ],
)
def test_what_is_wrong_is_named(source: str, message: str) -> None:
    with pytest.raises(PermanentError) as raised:
        derive(load_features(stored(model=source), "model"), ROWS, COLUMNS)
    assert message in str(raised.value)
