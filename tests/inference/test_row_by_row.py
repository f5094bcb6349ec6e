"""Rows that are walked over inside the runtime are answered as each by itself, to the bit, or not walked over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto as T
from onnx import helper, numpy_helper

from trimtab.errors import PermanentError
from trimtab.inference.row_by_row import RowByRow, row_by_row, walking_graph
from trimtab.inference.session import open_session

DRAW = np.random.default_rng(7)


def saved(
    folder: Path,
    nodes: list[Any],
    inputs: list[tuple[str, int, list[Any]]],
    outputs: list[tuple[str, int, list[Any]]],
    *,
    opset: int = 17,
    **constants: Any,
) -> Path:
    made = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*one) for one in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def network(folder: Path, *, first: Any = "n") -> Path:
    """A convolution over uint8 pixels, as FP32 [n, 5], INT64 [n] and BOOL [n, 1]."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["real"], to=T.FLOAT),
        helper.make_node("Conv", ["real", "kernel"], ["made"], kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node("Relu", ["made"], ["kept"]),
        helper.make_node("GlobalAveragePool", ["kept"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Softmax", ["flat"], ["chances"], axis=1),
        helper.make_node("ArgMax", ["chances"], ["best"], axis=1, keepdims=0),
        helper.make_node("Cast", ["flat"], ["cut"], to=T.BOOL),
        helper.make_node("Gather", ["cut", "place"], ["any"], axis=1),
    ]
    return saved(
        folder,
        nodes,
        [("pixels", T.UINT8, [first, 3, 24, 16])],
        [("chances", T.FLOAT, [first, 5]), ("best", T.INT64, [first]), ("any", T.BOOL, [first, 1])],
        kernel=DRAW.standard_normal((5, 3, 3, 3)).astype(np.float32),
        place=np.array([0], np.int64),
    )


def alone(session: Any, feed: Mapping[str, Any]) -> list[Any]:
    """Each row in a run of its own."""
    count = len(next(iter(feed.values())))
    runs = [session.run(None, {name: one[row : row + 1] for name, one in feed.items()}) for row in range(count)]
    return [np.concatenate(those) for those in zip(*runs, strict=True)]


@pytest.fixture(scope="module", params=["n", 1], ids=["rows", "one row"])
def walked(request: Any, tmp_path_factory: Any) -> tuple[Any, RowByRow]:
    path = network(tmp_path_factory.mktemp("walked"), first=request.param)
    session = open_session(path)
    walking = row_by_row(path, session, {"pixels": np.zeros((1, 3, 24, 16), np.uint8)})
    assert walking is not None
    return session, walking


@given(rows=st.integers(1, 9), seed=st.integers(0, 2**32 - 1))
def test_every_row_is_answered_as_by_itself(walked, rows, seed):
    session, walking = walked
    pixels = np.random.default_rng(seed).integers(0, 256, (rows, 3, 24, 16), dtype=np.uint8)
    expected = alone(session, {"pixels": pixels})
    found = walking.run(["chances", "best", "any"], {"pixels": pixels})
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()


def test_some_of_the_outputs_in_another_order(walked):
    session, walking = walked
    pixels = DRAW.integers(0, 256, (4, 3, 24, 16), dtype=np.uint8)
    chances, best, _ = alone(session, {"pixels": pixels})
    found = walking.run(["best", "chances"], {"pixels": pixels})
    assert found[0].tolist() == best.tolist()
    assert found[1].tobytes() == chances.tobytes()


def test_several_inputs_and_texts(tmp_path):
    nodes = [
        helper.make_node("MatMul", ["left", "weights"], ["one"]),
        helper.make_node("Add", ["one", "right"], ["sum"]),
        helper.make_node("Concat", ["word", "word"], ["twice"], axis=1),
    ]
    path = saved(
        tmp_path,
        nodes,
        [("left", T.FLOAT, ["n", 4]), ("right", T.FLOAT, ["n", 2]), ("word", T.STRING, ["n", 1])],
        [("sum", T.FLOAT, ["n", 2]), ("twice", T.STRING, ["n", 2])],
        weights=DRAW.standard_normal((4, 2)).astype(np.float32),
    )
    session = open_session(path)
    row = {"left": np.ones((1, 4), np.float32), "right": np.ones((1, 2), np.float32), "word": np.array([["a"]], object)}
    walking = row_by_row(path, session, row)
    assert walking is not None
    many = {
        "left": DRAW.standard_normal((3, 4)).astype(np.float32),
        "right": DRAW.standard_normal((3, 2)).astype(np.float32),
        "word": np.array([["one"], ["zwei"], ["tré"]], object),
    }
    expected, found = alone(session, many), walking.run(["sum", "twice"], many)
    assert found[0].tobytes() == expected[0].tobytes()
    assert found[1].tolist() == expected[1].tolist() == [["one"] * 2, ["zwei"] * 2, ["tré"] * 2]


def test_rows_that_come_to_shapes_of_their_own_are_not_walked_over(tmp_path):
    path = saved(
        tmp_path,
        [helper.make_node("NonZero", ["x"], ["places"])],
        [("x", T.FLOAT, ["n", 3])],
        [("places", T.INT64, [2, "found"])],
    )
    session = open_session(path)
    assert row_by_row(path, session, {"x": np.ones((1, 3), np.float32)}) is None


def test_a_shape_that_is_declared_and_does_not_hold_for_every_row_is_not_walked_for(tmp_path, capfd):
    nodes = [
        helper.make_node("Equal", ["x", "zero"], ["empty"]),
        helper.make_node("NonZero", ["empty"], ["places"]),
        helper.make_node("Gather", ["places", "one"], ["columns"], axis=0),
        helper.make_node("Unsqueeze", ["columns", "axis"], ["y"]),
    ]
    path = saved(
        tmp_path,
        nodes,
        [("x", T.FLOAT, ["n", 3])],
        [("y", T.INT64, ["n", 3])],
        zero=np.float32(0),
        one=np.int64(1),
        axis=np.array([0], np.int64),
    )
    session = open_session(path)
    assert session.run(None, {"x": np.float32([[1, 0, 1]])})[0].tolist() == [[1]]
    capfd.readouterr()
    assert row_by_row(path, session, {"x": np.zeros((1, 3), np.float32)}) is None
    assert capfd.readouterr().err == "", "nobody need be told"


def test_a_graph_that_also_tells_a_number_for_all_rows_is_not_walked_for(tmp_path):
    path = saved(
        tmp_path,
        [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0)],
        [("x", T.FLOAT, ["n", 3])],
        [("y", T.FLOAT, ["n", 3]), ("sum", T.FLOAT, [])],
    )
    session = open_session(path)
    assert row_by_row(path, session, {"x": np.ones((1, 3), np.float32)}) is None


def test_branches_that_name_what_is_around_them_and_half_floats(tmp_path):
    """The body of the walk is around the branches; and a single number is a row."""
    branches = {
        name: helper.make_graph(
            [helper.make_node(kind, ["x", "two"], [name])],
            name,
            [],
            [helper.make_tensor_value_info(name, T.FLOAT16, None)],
        )
        for name, kind in (("more", "Add"), ("less", "Mul"))
    }
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "two"], ["high"]),
        helper.make_node("If", ["high"], ["y"], then_branch=branches["more"], else_branch=branches["less"]),
    ]
    path = saved(tmp_path, nodes, [("x", T.FLOAT16, ["n"])], [("y", T.FLOAT16, ["n"])], two=np.float16(2))
    session = open_session(path)
    walking = row_by_row(path, session, {"x": np.zeros(1, np.float16)})
    assert walking is not None
    (found,) = walking.run(["y"], {"x": np.float16([1, 5, -1])})
    assert found.tolist() == [2, 7, -2]


def test_an_answer_that_depends_on_other_rows_is_not_walked_for(tmp_path):
    path = saved(
        tmp_path,
        [helper.make_node("ReduceSum", ["x", "axis"], ["y"], keepdims=0)],
        [("x", T.FLOAT, ["n", 3])],
        [("y", T.FLOAT, [3])],
        axis=np.array([0], np.int64),
    )
    session = open_session(path)
    assert row_by_row(path, session, {"x": np.ones((1, 3), np.float32)}) is None


def test_graphs_of_before_there_was_a_walk(tmp_path):
    path = saved(
        tmp_path,
        [helper.make_node("Relu", ["x"], ["y"])],
        [("x", T.FLOAT, ["n", 3])],
        [("y", T.FLOAT, ["n", 3])],
        opset=8,
    )
    session = open_session(path)
    assert row_by_row(path, session, {"x": np.ones((1, 3), np.float32)}) is None
    with pytest.raises(PermanentError, match="opset 8"):
        walking_graph(path.read_bytes(), {"x": "tensor(float)"}, {"y": "tensor(float)"})


def test_what_is_made_is_a_model_of_onnx(tmp_path):
    made = onnx.load_from_string(
        walking_graph(network(tmp_path).read_bytes(), {"pixels": "tensor(uint8)"}, {"chances": "tensor(float)"})
    )
    (scan,) = made.graph.node
    assert scan.op_type == "Scan"
    before = onnx.load(tmp_path / "model.onnx")
    assert helper.get_node_attr_value(scan, "body") == before.graph
    assert helper.get_node_attr_value(scan, "num_scan_inputs") == 1
    assert list(made.opset_import) == list(before.opset_import)
    assert made.ir_version == before.ir_version


@given(st.integers(0, 10_000))
def test_a_model_that_is_cut_off_says_so(tmp_path_factory, seed):
    whole = network(tmp_path_factory.mktemp("cut")).read_bytes()
    place = seed % (len(whole) - 1)
    try:
        walking_graph(whole[:place], {"pixels": "tensor(uint8)"}, {"chances": "tensor(float)"})
    except PermanentError as error:
        assert "cut off" in str(error) or "opset 0" in str(error)
