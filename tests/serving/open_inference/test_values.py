"""The values of a tensor are the same in whatever form they came, and what is wrong with them is named."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trimtab.serving.open_inference.binary import NUMBERS, pack
from trimtab.serving.open_inference.values import values_of
from trimtab.serving.refusals import RefusalError

BASE64 = {"datatype": "BYTES", "shape": [1], "parameters": {"content_type": "base64"}}
NAMED = {name: np.dtype(form) for name, form in NUMBERS.items() if name != "BF16"} | {"BOOL": np.dtype("?")}


@given(st.sampled_from(sorted(NAMED)), st.data())
def test_bytes_and_json_give_the_same_array(datatype: str, data: st.DataObject) -> None:
    dtype = NAMED[datatype]
    finite = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else {}
    drawn = data.draw(hnp.arrays(dtype, hnp.array_shapes(max_dims=4), elements=hnp.from_dtype(dtype, **finite)))
    told = {"datatype": datatype, "shape": list(drawn.shape)}
    raw = values_of(told | {"raw": memoryview(drawn.tobytes())}, "x")
    nested = values_of(
        told | {"data": orjson.loads(orjson.dumps(drawn.astype("<f8" if dtype.kind == "f" else dtype).tolist()))}, "x"
    )
    flat = values_of(told | {"data": drawn.ravel().tolist()}, "x")
    for found in (raw, nested, flat):
        assert isinstance(found, np.ndarray)
        assert (found.dtype, found.shape) == (drawn.dtype, drawn.shape)
        assert found.tobytes() == drawn.tobytes() or np.array_equal(found, drawn)  # -0 may come as 0
        assert not found.flags.writeable


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_elements_in_every_form(elements: list[bytes]) -> None:
    told = {"datatype": "BYTES", "shape": [len(elements)]}
    encoded = [base64.b64encode(one).decode() for one in elements]
    assert values_of(told | {"raw": pack(elements)}, "x") == elements
    assert values_of(told | {"data": encoded, "parameters": {"content_type": "base64"}}, "x") == elements
    assert values_of(told | {"data": encoded}, "x") == [one.encode() for one in encoded]


def test_binary_values_are_views_of_the_request() -> None:
    body = bytes(range(200))
    array = values_of({"datatype": "UINT8", "shape": [2, 4, 5], "raw": memoryview(body)[10:50]}, "x")
    assert isinstance(array, np.ndarray)
    assert np.shares_memory(array, np.frombuffer(body, "u1"))
    packed = pack([b"abc", b""])
    (first, _) = values_of({"datatype": "BYTES", "shape": [2, 1], "raw": packed}, "x")
    assert isinstance(first, memoryview)
    assert first.obj is packed


def test_null_is_no_number_and_half_floats_widen() -> None:
    found = values_of({"datatype": "FP32", "shape": [2], "data": [None, 1]}, "x")
    assert np.isnan(found[0])
    assert values_of({"datatype": "BF16", "shape": [2], "raw": b"\x80\x3f\x00\xc0"}, "x").tolist() == [1.0, -2.0]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        ({"datatype": "FP31", "shape": [1], "data": [1]}, 'x: datatype "FP31" is none of the protocol\'s'),
        ({"datatype": "FP32", "data": [1]}, "x: shape null; expected a list of sizes"),
        ({"datatype": "FP32", "shape": [], "data": [1]}, "x: shape []; expected a list of sizes"),
        ({"datatype": "FP32", "shape": [-1], "data": [1]}, "x: shape [-1]"),
        ({"datatype": "FP32", "shape": [2**60, 2**60], "data": [1]}, "x: shape"),
        ({"datatype": "FP32", "shape": [2], "data": [1]}, "x: 1 values; shape [2] needs 2"),
        ({"datatype": "FP32", "shape": [2, 2], "data": [[1, 2, 3, 4]]}, "x: `data` is nested as [1, 4]; its shape"),
        ({"datatype": "FP32", "shape": [2], "data": [[1], 2]}, "x: `data` is not nested evenly"),
        ({"datatype": "FP32", "shape": [1], "data": ["1"]}, 'x, element 0: expected a number or null, got "1"'),
        ({"datatype": "FP32", "shape": [2], "data": [None, "1"]}, 'x, element 1: expected a number or null, got "1"'),
        ({"datatype": "FP32", "shape": [1], "data": "1"}, 'x: `data` must be a list, got "1"'),
        ({"datatype": "UINT8", "shape": [2], "data": [3, 256]}, "x, element 1: expected a whole number from 0 to 255"),
        ({"datatype": "UINT8", "shape": [2], "data": [3, -1]}, "to 255 (UINT8), got -1"),
        ({"datatype": "INT64", "shape": [2], "data": [3, 1.5]}, "(INT64), got 1.5"),
        ({"datatype": "INT64", "shape": [2], "data": [3, None]}, "(INT64), got null"),
        ({"datatype": "BOOL", "shape": [1], "data": [1]}, "x, element 0: expected true or false, got 1"),
        ({"datatype": "BOOL", "shape": [1], "raw": b"\x02"}, "x: a BOOL is a byte of 0 or 1"),
        ({"datatype": "BF16", "shape": [1], "data": [1]}, "x: BF16 has no form in JSON"),
        ({"datatype": "INT16", "shape": [2, 2], "raw": b"1234567"}, "x: 7 bytes; shape [2, 2] of INT16 needs 8"),
        ({"datatype": "BYTES", "shape": [1], "data": [1]}, "x, element 0: expected a string, got 1"),
        ({"datatype": "BYTES", "shape": [2], "data": ["a"]}, "x: 1 values; shape [2] needs 2"),
        (BASE64 | {"data": ["a?"]}, "x, element 0: not base64"),
        (BASE64 | {"data": ["a"], "parameters": {"content_type": "np"}}, 'x: content_type "np"'),
        ({"datatype": "BYTES", "shape": [2], "data": [["a"], "b"]}, "x: `data` is not nested evenly"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tensor: dict[str, Any], message: str) -> None:
    with pytest.raises(RefusalError) as caught:
        values_of(tensor, "x")
    assert caught.value.status == 422
    assert message in caught.value.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=12,
)


@given(
    st.sampled_from([*NUMBERS, "BOOL", "BYTES", "FP8", None]) | JSON,
    st.lists(st.integers(0, 4), min_size=1, max_size=3) | JSON,
    JSON,
    st.dictionaries(st.sampled_from(["content_type", "binary_data_size"]), st.just("base64") | JSON),
)
def test_whatever_json_comes_is_read_or_refused(datatype: Any, shape: Any, data: Any, parameters: Any) -> None:
    tensor = {"datatype": datatype, "shape": shape, "data": data, "parameters": parameters}
    try:
        found = values_of(tensor, "x")
    except RefusalError as error:
        assert error.message.startswith("x")
    else:
        assert len(found) == (shape[0] if isinstance(found, np.ndarray) else int(np.prod(shape)))
