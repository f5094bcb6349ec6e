"""Whatever comes is answered or refused in words, never with a fault of the server's own."""

from __future__ import annotations

from typing import Any

import grpc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serving.grpc.calls import FIELDS, Caller
from tests.serving.running import Running

EXPECTED = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.RESOURCE_EXHAUSTED}
DATATYPES = st.sampled_from([*FIELDS, "BOOL", "UINT8", "FP16", "BF16", "INT8", "", "nonsense"])
NAMES = st.sampled_from(["distance", "carrier", "input", "score", ""]) | st.text(max_size=5)
NUMBERS = st.integers(-(2**31), 2**31 - 1)
CONTENTS = st.fixed_dictionaries(
    {},
    optional={
        "fp32_contents": st.lists(st.floats(width=32), max_size=5),
        "fp64_contents": st.lists(st.floats(), max_size=5),
        "int64_contents": st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5),
        "int_contents": st.lists(NUMBERS, max_size=5),
        "bool_contents": st.lists(st.booleans(), max_size=5),
        "bytes_contents": st.lists(st.binary(max_size=5), max_size=5),
    },
)
TENSOR = st.fixed_dictionaries(
    {"name": NAMES, "datatype": DATATYPES, "shape": st.lists(st.integers(-2, 5) | st.just(2**62), max_size=3)},
    optional={"contents": CONTENTS},
)
VALUE = st.one_of(
    st.builds(lambda one: {"string_param": one}, st.text(max_size=10) | st.sampled_from(["[1]", "[", '["a"]', "0"])),
    st.builds(lambda one: {"int64_param": one}, st.integers(-(2**63), 2**63 - 1)),
    st.builds(lambda one: {"bool_param": one}, st.booleans()),
    st.builds(lambda one: {"double_param": one}, st.floats()),
    st.just({}),
)
REQUEST = st.fixed_dictionaries(
    {"model_name": st.sampled_from(["flights", "flights", "flights", "other"]), "inputs": st.lists(TENSOR, max_size=3)},
    optional={
        "model_version": st.sampled_from(["", "r1", "old"]),
        "id": st.text(max_size=5),
        "outputs": st.lists(st.builds(lambda name: {"name": name}, NAMES), max_size=3),
        "raw_input_contents": st.lists(st.binary(max_size=40), max_size=3),
        "parameters": st.dictionaries(
            st.sampled_from(["prediction_ids", "time", "timeout", "sticky_key", "explain", "other"]), VALUE, max_size=3
        ),
    },
)


def check(call: Caller, message: Any) -> None:
    try:
        told = call("ModelInfer", message)
    except grpc.RpcError as error:
        assert error.code() in EXPECTED, (error.code(), error.details())
        assert error.details()
    else:
        assert told.model_version == "model-r1"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(REQUEST)
def test_any_request(server: Running, call: Caller, fields: dict[str, Any]) -> None:
    check(call, call.messages["ModelInferRequest"](**fields))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes(server: Running, call: Caller, body: bytes) -> None:
    check(call, body)
