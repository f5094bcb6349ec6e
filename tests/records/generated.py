"""Generated facts of every kind, as hypothesis strategies made from the records themselves."""

from __future__ import annotations

import types
from datetime import UTC, datetime
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
from hypothesis import strategies as st

from trimtab.records.facts import AnyFact

KINDS = get_args(AnyFact)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
moments = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
figures = st.floats(allow_nan=False, allow_infinity=False)
whole = st.integers(-(2**53), 2**53)
free = st.recursive(
    st.none() | st.booleans() | whole | figures | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
keys = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=20)


def of_type(kind: Any) -> st.SearchStrategy[Any]:
    """Values of one annotation."""
    simple = {
        str: texts,
        int: whole,
        float: figures,
        bool: st.booleans(),
        datetime: moments,
        Any: free,
        None: st.none(),
        msgspec.UnsetType: st.just(msgspec.UNSET),
    }
    if kind in simple:
        return simple[kind]
    if kind is type(None):
        return st.none()
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        return st.one_of([of_type(each) for each in arguments])
    if origin is dict:
        return st.dictionaries(of_type(arguments[0]), of_type(arguments[1]), max_size=3)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(of_type(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(of_type, arguments))
    return st.builds(kind, **{field.name: of_type(field.type) for field in msgspec.structs.fields(kind)})


facts = st.one_of([st.deferred(lambda kind=kind: of_type(kind)) for kind in KINDS])
