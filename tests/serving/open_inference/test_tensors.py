"""Tensors in their binary form: what was packed comes back, and bytes that do not fit are refused by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trimtab.serving.open_inference.binary import NUMBERS, pack, unpack
from trimtab.serving.refusals import RefusalError

KINDS = [name for name in NUMBERS if name != "BF16"]


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_elements_come_back(elements: list[bytes]) -> None:
    assert unpack(pack(elements), "BYTES", len(elements), "x") == elements


@given(st.sampled_from(KINDS), st.data())
def test_numbers_come_back(datatype: str, data: st.DataObject) -> None:
    dtype = np.dtype(NUMBERS[datatype])
    exact = {"allow_nan": False} if dtype.kind == "f" else {}  # a NaN may lose its payload on the way
    values = data.draw(hnp.arrays(dtype, st.integers(0, 20), elements=hnp.from_dtype(dtype, **exact)))
    found = unpack(values.tobytes(), datatype, len(values), "x")
    assert np.array(found, values.dtype).tobytes() == values.tobytes()


def test_half_floats_of_both_kinds() -> None:
    assert list(unpack(b"\x80\x3f\x00\xc0", "BF16", 2, "x")) == [1.0, -2.0]
    assert list(unpack(b"\x00\x3c\x00\xc0", "FP16", 2, "x")) == [1.0, -2.0]
    assert list(unpack(b"\x01\x00", "BOOL", 2, "x")) == [True, False]


@given(st.binary(max_size=60), st.integers(0, 8))
def test_bytes_that_are_no_elements_are_refused_or_read_whole(raw: bytes, count: int) -> None:
    try:
        found = unpack(raw, "BYTES", count, "column 'x'")
    except RefusalError as error:
        assert error.status == 422
        assert error.message.startswith("column 'x'")
    else:
        assert len(found) == count
        assert pack(found) == raw


@pytest.mark.parametrize(
    ("raw", "datatype", "count", "message"),
    [
        (b"1234567", "FP32", 2, "x: 7 bytes; 2 of FP32 need 8"),
        (b"\x05\x00\x00\x00abc", "BYTES", 1, "x: the bytes end within element 0 of 1"),
        (b"\x01\x00\x00\x00a\x00", "BYTES", 2, "x: the bytes end within element 1 of 2"),
        (b"\x01\x00\x00\x00ab", "BYTES", 1, "x: 1 bytes are left after 1 elements"),
    ],
)
def test_what_does_not_fit_is_named(raw: bytes, datatype: str, count: int, message: str) -> None:
    with pytest.raises(RefusalError) as caught:
        unpack(raw, datatype, count, "x")
    assert caught.value.message == message
