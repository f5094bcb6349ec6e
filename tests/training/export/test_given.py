"""Models that are ONNX already: kept as they are when they fit, refused with the reason when they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression, Ridge
from tests.training.export.test_export import BINARY, NUMBER, SEVERAL, TIGHT, gap, real, signature

from trimtab import OnnxModel
from trimtab.errors import PermanentError
from trimtab.inference.model import Model
from trimtab.records.metric import Task
from trimtab.training.export.export import export, native_scores

WEIGHTS = np.array([[0.5], [-1.0], [2.0]], dtype=np.float32)


def linear(
    *,
    rows: Any = "rows",
    op: str = "MatMul",
    domain: str = "",
    source: int = TensorProto.FLOAT,
    width: Any = 3,
    weights: np.ndarray = WEIGHTS,
    opset: int = 17,
    inputs: int = 1,
) -> onnx.ModelProto:
    """x @ w as a graph."""
    taken = [helper.make_tensor_value_info(f"x{i}", source, [rows, width]) for i in range(inputs)]
    node = helper.make_node(op, ["x0", "w"], ["probability"], domain=domain)
    graph = helper.make_graph(
        [node],
        "linear",
        taken,
        [helper.make_tensor_value_info("probability", source, [rows, weights.shape[1]])],
        initializer=[numpy_helper.from_array(weights.astype(np.float32), "w")],
    )
    domains = [helper.make_opsetid("", opset)] + [helper.make_opsetid(domain, 1)] * bool(domain)
    return helper.make_model(graph, opset_imports=domains, ir_version=8)


def of_sklearn(task: Task) -> tuple[bytes, Any, np.ndarray, int]:
    """A pretrained model of scikit-learn as its own converter writes it, and the rows."""
    x, y, classes = real(task)
    x = np.nan_to_num(x) / np.abs(np.nan_to_num(x)).max(axis=0)
    model = (Ridge() if task == NUMBER else LogisticRegression()).fit(x, y)
    options = None if task == NUMBER else {id(model): {"zipmap": False}}
    return to_onnx(model, x[:1], options=options).SerializeToString(), model, x, classes


@pytest.mark.parametrize("task", [BINARY, SEVERAL, NUMBER])
def test_another_tools_graph_answers_as_its_callable(task: Task, tmp_path: Path) -> None:
    content, fitted, x, classes = of_sklearn(task)
    native = fitted.predict if task == NUMBER else fitted.predict_proba
    assert gap(OnnxModel(content, native=native), task, classes, x) < TIGHT
    file = tmp_path / "weights.onnx"
    file.write_bytes(content)
    described = signature(task, x.shape[1], classes)
    whole = export(OnnxModel(content), described)
    assert whole == export(file, described) == export(str(file), described) == export(onnx.load(file), described)
    assert native_scores(content, x, described) is None


@pytest.mark.parametrize(("task", "width"), [(BINARY, 1), (BINARY, 2), (SEVERAL, 3)])
def test_logits(task: Task, width: int) -> None:
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    weights = np.random.default_rng(1).normal(size=(3, width))
    model = OnnxModel(linear(weights=weights), native=lambda rows: rows @ weights, logits=True)
    described = signature(task, 3, max(2, width))
    assert gap(model, task, max(2, width), x) < TIGHT
    scores = Model.load(export(model, described), described).scores(x)
    if task == SEVERAL:
        np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-5)
    else:
        odds = (x @ weights)[:, -1] - (0.0 if width == 1 else (x @ weights)[:, 0])
        np.testing.assert_allclose(scores, 1 / (1 + np.exp(-odds)), atol=1e-5)


def test_weights_beside_a_file_are_read_into_it(tmp_path: Path) -> None:
    whole = linear()
    onnx.save(linear(), tmp_path / "m.onnx", save_as_external_data=True, location="m.bin", size_threshold=0)
    described = signature(NUMBER, 3, 0)
    assert export(tmp_path / "m.onnx", described) == export(whole, described)
    with pytest.raises(PermanentError, match="weights of the ONNX model lie in another file"):
        export((tmp_path / "m.onnx").read_bytes(), described)


def test_local_functions_and_names_like_ours() -> None:
    """A graph whose tensors are called as those that are added, and which calls a function of its own."""
    twice = helper.make_function(
        "own", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)]
    )
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["input", "positive_class"], ["positive"]),
            helper.make_node("Twice", ["positive"], ["scores"], domain="own"),
        ],
        "g",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 2])],
        initializer=[numpy_helper.from_array(np.hstack([WEIGHTS, -WEIGHTS]), "positive_class")],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("own", 1)],
        functions=[twice],
        ir_version=8,
    )
    x = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    native = lambda rows: 2 * rows @ np.hstack([WEIGHTS, -WEIGHTS])  # noqa: E731
    assert gap(OnnxModel(model, native=native, logits=True), BINARY, 2, x) < TIGHT


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (b"not a model", "this is no ONNX model"),
        ("nowhere.onnx", "cannot be read: No such file"),
        (linear(rows=4), "takes 4 rows at a time"),
        (linear(width=5, weights=np.ones((5, 1))), "takes 5 features; the rows have 3"),
        (linear(inputs=2), "has 2 inputs"),
        (linear(source=TensorProto.DOUBLE), "no valid ONNX model|takes tensor\\(double\\)|cannot be loaded"),
        (linear(op="Secret", domain="my.ops"), "needs operator my.ops:Secret"),
        (linear(op="NoSuchOp"), "no valid ONNX model: No Op registered for NoSuchOp"),
        (linear(opset=7), "is of operator set 7; the oldest that is taken is 9"),
        (linear(weights=np.ones((3, 4))), "has 4 columns; the task regression needs 1"),
        (OnnxModel(linear(), output="other"), "has no output 'other'"),
        (OnnxModel(linear(), native=lambda x: x[:-1]), "native\\(x\\) returned"),
    ],
)
def test_what_does_not_fit_is_refused(model: Any, message: str) -> None:
    described = signature(NUMBER, 3, 0)
    x = np.zeros((5, 3), dtype=np.float32)
    with pytest.raises(PermanentError, match=message):
        Model.load(export(model, described), described)
        native_scores(model, x, described)


def test_several_outputs_and_maps() -> None:
    _, fitted, x, _ = of_sklearn(BINARY)
    described = signature(BINARY, x.shape[1], 2)
    mapped = to_onnx(fitted, x[:1])
    with pytest.raises(PermanentError, match="none of the ONNX model's outputs is the score") as refusal:
        export(mapped, described)
    assert "zipmap=False" in str(refusal.value.hint)
