"""A model file's signature: from its graph and what is declared beside it; what does not fit is named with its line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from tests.inference.tensors import graphs
from tests.inference.tensors.graphs import T

from trimtab.errors import DeclarationError, TrimtabError
from trimtab.loop.targets.model_file import place_of_model, prepare_model
from trimtab.records.base import SimulatedClock
from trimtab.records.model import Routes, Signature
from trimtab.records.tensors import ImageInput, Tensors

CLOCK = SimulatedClock(datetime(2026, 1, 1, tzinfo=UTC))


def prepared(folder: Path, graph: bytes, declared: str = "", name: str = "model.onnx") -> Signature:
    (folder / name).write_bytes(graph)
    if declared:
        (folder / name).with_suffix(".toml").write_text(declared)
    layout = place_of_model(folder / name, None)
    prepare_model(folder / name, layout, {}, CLOCK)
    return routes(folder, name).routes[0].bundle.signature


def routes(folder: Path, name: str = "model.onnx") -> Routes:
    return msgspec.json.decode(place_of_model(folder / name, None).routes.read_bytes(), type=Routes)


def test_a_graph_alone_is_served_as_it_is(tmp_path):
    signature = prepared(tmp_path, graphs.two_inputs())
    assert signature.task == "tensors"
    assert isinstance(signature.tensors, Tensors)
    assert [(one.name, one.datatype, one.shape) for one in signature.tensors.inputs] == [
        ("a", "INT64", (2,)),
        ("b", "FP16", (-1,)),
    ]


@pytest.mark.parametrize(("shape", "declared", "expected", "image"), [
    (("n", 3, 32, 48), "", (3, 32, 48), {"size": (32, 48)}),
    (("n", 3, "h", "w"), "size = [8, 9]", (3, 8, 9), {"size": (8, 9)}),
    (("n", 3, "h", "w"), "", (3, -1, -1), {}),
])  # fmt: skip
def test_an_images_form_follows_the_graph(tmp_path, shape, declared, expected, image):
    signature = prepared(tmp_path, graphs.mean_colour(shape), f"[inputs.image.image]\n{declared}\n")
    assert isinstance(signature.tensors, Tensors)
    (found,) = signature.tensors.inputs
    assert found.shape == expected
    assert found.image == ImageInput(**image)


def test_the_last_axis_may_be_the_channels(tmp_path):
    nodes = [graphs.node("Cast", "image", "out", to=T.FLOAT)]
    graph = graphs.graph(nodes, [("image", T.UINT8, ["n", 20, 30, 1])], [("out", T.FLOAT, ["n", 20, 30, 1])])
    signature = prepared(tmp_path, graph, "[inputs.image.image]\n")
    assert isinstance(signature.tensors, Tensors)
    assert signature.tensors.inputs[0].image == ImageInput(size=(20, 30), layout="HWC", colors="L")


def test_the_same_model_is_routed_once_and_another_takes_its_place(tmp_path):
    graph = graphs.mean_colour()
    for _ in range(2):
        prepared(tmp_path, graph)
    assert routes(tmp_path).generation == 1
    prepared(tmp_path, graphs.mean_colour(("n", 3, 16, 16)))
    after = routes(tmp_path)
    assert (after.generation, [one.release for one in after.routes]) == (2, ["r-2"])
    (tmp_path / "after.py").write_text("def postprocess(outputs): return {'n': outputs['pixels']}\n")
    prepared(tmp_path, graphs.mean_colour(("n", 3, 16, 16)), 'postprocess = "after.py"\n')
    assert routes(tmp_path).generation == 3
    assert routes(tmp_path).routes[0].bundle.entry == "after"


@pytest.mark.parametrize(("declared", "message"), [
    ('tusk = "tensors"', 'model.toml:1: [tusk]: unknown key; did you mean "task"?'),
    ('task = "regresion"', 'unknown value "regresion"; did you mean "regression"?'),
    ('task = "binary_classification"', "needs the names of its classes"),
    ('task = "regression"', "the graph has several outputs (name the score: one of logits, pixels)"),
    ('task = "regression"\nscore = "pixel"', "there is no output 'pixel' (the signature has logits, pixels)"),
    ('task = "regression"\nscore = "logits"', "output 'logits' has 3 values a row; expected one"),
    ('task = "multiclass_classification"\nscore = "logits"\nclasses = ["a", "b"]', "and there are 2 classes"),
    ('postprocess = "nothing.py"', "nothing.py"),
    ("[inputs.picture]\n", "the graph has no input 'picture' (it has image)"),
    ("[outputs.logit]\n", "the graph has no output 'logit'"),
    ("[inputs.image.image]\nsize = [1]", "model.toml:2"),
    ("[inputs.image.image]\nsize = [10, 10]", "an image gives [3, 10, 10], and its shape is [3, 32, 48]"),
    ('[inputs.image.image]\nformats = ["PNG", "GIF"]', 'unknown format "GIF"'),
    ("[inputs.image.audio]\nrat = 1", 'model.toml:2: [inputs] image audio rat: unknown key; did you mean "rate"?'),
    ("[inputs.image.audio]\nrate = 16000", "a sound gives [samples], and its shape is [3, 32, 48]"),
    ('[detections]\nboxes = "boxes"', "scores is missing"),
    ('[detections]\nboxes = "boxes"\nscores = "logits"', "there is no output 'boxes'"),
    ("inputs = 3", "expected a table"),
    ("[serve]\nport = 99999", "a whole number from 0 to 65535"),
    ("top = 2", "`top` is for several classes"),
])  # fmt: skip
def test_what_is_declared_wrongly_is_named(tmp_path, declared, message):
    with pytest.raises(DeclarationError) as raised:
        prepared(tmp_path, graphs.mean_colour(), declared + "\n")
    assert message in raised.value.in_one_line()


def test_a_file_that_is_no_model_is_named(tmp_path):
    with pytest.raises(TrimtabError, match="cannot be loaded"):
        prepared(tmp_path, b"hello")
    with pytest.raises(DeclarationError, match="there is no such model file"):
        prepare_model(tmp_path / "no.onnx", place_of_model(tmp_path / "no.onnx", None), {}, CLOCK)


@pytest.mark.parametrize(("name", "system"), [("a b.onnx", "a-b"), ("7.onnx", "model-7"), ("résumé.onnx", "r-sum-")])
def test_a_systems_name_is_made_of_the_files(tmp_path, name, system):
    prepared(tmp_path, graphs.mean_colour(), name=name)
    assert routes(tmp_path, name).system == system


def test_a_classifier_as_scikit_learn_exports_it(tmp_path):
    """Its output `label` has the name of one that every answer has, and its probabilities may be maps."""
    import numpy as np
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    drawn = np.random.default_rng(1).normal(size=(30, 4)).astype(np.float32)
    model = LogisticRegression().fit(drawn, np.array(["a", "b", "c"])[np.arange(30) % 3])
    with pytest.raises(TrimtabError, match="which cannot be sent") as caught:
        prepared(tmp_path, to_onnx(model, drawn[:1]).SerializeToString())
    assert "'zipmap': False" in caught.value.hint
    graph = to_onnx(model, drawn[:1], options={id(model): {"zipmap": False}}).SerializeToString()
    with pytest.raises(TrimtabError, match="an output cannot be named 'label'") as caught:
        prepared(tmp_path, graph)
    assert "`answered = false` under [outputs.label]" in caught.value.hint
    declared = 'task = "multiclass_classification"\nclasses = ["a", "b", "c"]\nscore = "probabilities"\n'
    signature = prepared(tmp_path, graph, declared + "[outputs.label]\nanswered = false\n")
    assert (signature.onnx_output, signature.classes) == ("probabilities", ("a", "b", "c"))
