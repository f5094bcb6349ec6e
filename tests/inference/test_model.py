"""A model of a table that runs: one graph, in as many runs as pay."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from trimtab.inference.model import Model
from trimtab.records.model import Column, Feature, Signature

WEIGHTS = np.random.default_rng(3).standard_normal((4, 3)).astype(np.float32)


def model(task: str, columns: int) -> Model:
    names = ["a", "b", "c", "d"]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["input", "weights"], ["scores"])],
        "linear",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, columns])],
        [numpy_helper.from_array(WEIGHTS[:, :columns], "weights")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 9
    signature = Signature(
        task=task,
        inputs=tuple(Column(name=name, kind="number") for name in names),
        features=tuple(Feature(name=name, kind="number") for name in names),
        classes=("x", "y", "z")[:columns] if task != "regression" else (),
    )
    return Model.load(made.SerializeToString(), signature)


def test_runs_that_are_cut_say_the_same():
    matrix = np.random.default_rng(4).standard_normal((23, 4)).astype(np.float32)
    for task, columns in (("regression", 1), ("multiclass_classification", 3)):
        whole, cut = model(task, columns), model(task, columns)
        for most in (1, 8, 64):
            cut.cut(most)
            found = cut.scores(matrix)
            assert found.shape == whole.scores(matrix).shape
            assert np.allclose(found, whole.scores(matrix), atol=1e-6)
            assert np.allclose(found.reshape(23, -1), matrix @ WEIGHTS[:, :columns], atol=1e-5)
