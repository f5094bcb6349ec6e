"""A model of tensors: what it takes, how rows are brought together, what comes out, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.inference.tensors import graphs, media
from tests.inference.tensors.graphs import T, node

from trimtab.errors import PermanentError
from trimtab.inference.tensors.model import TensorModel
from trimtab.inference.tensors.refused import InputError
from trimtab.inference.tensors.rows import TensorRows
from trimtab.records.base import canonical_json
from trimtab.records.model import Column, Feature, ModelBundle, Signature
from trimtab.records.tensors import Detections, TensorInput, TensorOutput, Tensors

IMAGE = media.image_input()


@pytest.fixture(scope="module")
def colours() -> TensorModel:
    return TensorModel(graphs.mean_colour(), graphs.colour_signature(IMAGE))


@pytest.fixture(scope="module")
def loudest() -> TensorModel:
    return TensorModel(graphs.loudest(), graphs.loudest_signature(media.audio_input()))


def plain(seed: int, rows: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, (rows, 3, 32, 48), dtype=np.uint8)


def test_what_was_written_before_tensors_keeps_its_digest():
    signature = Signature(
        task="regression",
        inputs=(Column(name="x", kind="number"),),
        features=(Feature(name="x", kind="number"),),
    )
    assert canonical_json(ModelBundle(onnx="d", signature=signature)) == (
        b'{"onnx":"d","signature":{"task":"regression","inputs":[{"name":"x","kind":"number"}],"features":[{"name":"x",'
        b'"kind":"number","vocabulary":[]}],"classes":[],"threshold":0.5,"onnx_input":"input","onnx_output":"scores"},'
        b'"features_code":null,"entry":""}'
    )


def test_files_and_tensors_give_the_same(colours):
    pixels = media.picture(32, 48)
    file = colours.reader.decode({"image": [media.file_of(pixels)]})
    tensor = colours.reader.decode({"image": pixels.transpose(2, 0, 1)[None]})
    assert np.array_equal(file[0].arrays[0], tensor[0].arrays[0])
    one, two = colours.run(file), colours.run(tensor)
    assert np.array_equal(one.scores, two.scores)
    means = pixels.reshape(-1, 3).mean(axis=0)
    raised = np.exp(means - means.max())
    assert np.allclose(one.scores, [raised / raised.sum()], atol=1e-4)
    assert one.named[0]["pixels"] == 3 * 32 * 48


@settings(max_examples=40)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(0, 1000))
def test_rows_of_many_requests_never_mix(sizes, seed):
    model = TensorModel(graphs.mean_colour(), graphs.colour_signature(IMAGE))
    asked = [TensorRows((plain(seed + place, size),), (None,) * size) for place, size in enumerate(sizes)]
    together = model.run(asked)
    alone = [model.run([one]) for one in asked]
    assert np.allclose(together.scores, np.concatenate([one.scores for one in alone]), atol=1e-6)
    assert len(together.named) == sum(sizes)


def test_rows_of_different_shapes_are_told_in_order(loudest):
    sounds = [
        np.full((count, length), 0.01 * length, np.float32) for count, length in ((2, 50), (1, 70), (3, 50), (1, 20))
    ]
    outcome = loudest.run([TensorRows((one,), (None,) * len(one)) for one in sounds])
    lengths = [50, 50, 70, 50, 50, 50, 20]
    assert outcome.scores.shape == (7, 0)
    assert np.allclose([one["peak"] for one in outcome.named], 0.01 * np.array(lengths))
    assert [one["wave"].shape for one in outcome.named] == [(length,) for length in lengths]
    assert np.allclose(outcome.named[2]["wave"], 1.4)


def test_files_of_different_lengths_in_one_request(loudest):
    files = [media.sound_of(0.5**place * media.tone(seconds)) for place, seconds in enumerate((0.1, 0.2, 0.1))]
    rows = loudest.reader.decode({"sound": files})
    assert [len(one) for one in rows] == [1, 1, 1]
    outcome = loudest.run(rows)
    assert np.allclose([one["peak"] for one in outcome.named], [0.5, 0.25, 0.125], atol=0.01)
    assert [len(one["wave"]) for one in outcome.named] == [1600, 3200, 1600]


def test_large_rows_are_run_a_few_at_a_time():
    model = TensorModel(
        graphs.mean_colour(("n", 3, "h", "w")), graphs.colour_signature(media.image_input((3, -1, -1), size=None))
    )
    runs = []
    session = model.session
    model.session = type(
        "Spy", (), {"run": lambda self, names, feed: runs.append(len(feed["image"])) or session.run(names, feed)}
    )()
    many = np.arange(7, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 800, 800), np.uint8)
    outcome = model.run([TensorRows((many,), (None,) * 7)])
    assert runs == [2, 2, 2, 1]
    assert [one["pixels"] for one in outcome.named] == [3 * 800 * 800] * 7


@settings(max_examples=30)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(1, 4), st.integers(0, 1000))
def test_runs_that_are_cut_say_the_same(sizes, most, seed):
    whole, cut = (TensorModel(graphs.mean_colour(), graphs.colour_signature(IMAGE)) for _ in range(2))
    cut.cut(most)
    runs, session = [], cut.session
    cut.session = type(
        "Spy", (), {"run": lambda self, names, feed: runs.append(len(feed["image"])) or session.run(names, feed)}
    )()
    asked = [TensorRows((plain(seed + place, size),), (None,) * size) for place, size in enumerate(sizes)]
    expected, found = whole.run(asked), cut.run(asked)
    assert sum(runs) == sum(sizes)
    assert max(runs) <= most
    assert np.allclose(found.scores, expected.scores, atol=1e-6)
    assert found.named == expected.named


def test_runs_that_tell_more_of_one_row_than_of_another_are_read_apart():
    nodes = [
        node("ReduceMax", "x", "most", keepdims=0),
        node("Cast", "most", "end", to=T.INT64),
        node("Range", "zero end one", "steps"),
        node("Cast", "steps", "real", to=T.FLOAT),
        node("ReduceSum", "x axis", "sum", keepdims=1),
        node("Add", "sum real", "y"),
    ]
    made = graphs.graph(
        nodes,
        [("x", T.FLOAT, ["n", 2])],
        [("y", T.FLOAT, ["n", "m"])],
        zero=np.int64(0),
        one=np.int64(1),
        axis=np.array([1], np.int64),
    )
    spec = Tensors(
        inputs=(TensorInput(name="x", datatype="FP32", shape=(2,)),),
        outputs=(TensorOutput(name="y", datatype="FP32", shape=(-1,)),),
    )
    model = TensorModel(made, Signature(task="tensors", inputs=(), features=(), tensors=spec))
    model.cut(1)
    rows = [TensorRows((np.float32([[high, 0.5]]),), (None,)) for high in (2, 4, 4, 1)]
    told = [one["y"].tolist() for one in model.run(rows).named]
    assert told == [[2.5, 3.5], [4.5, 5.5, 6.5, 7.5], [4.5, 5.5, 6.5, 7.5], [1.5]]
    assert [one["y"].tolist() for one in model.run(rows[1:3]).named] == told[1:3]


def test_a_graph_for_one_row_is_given_one():
    signature = graphs.colour_signature(IMAGE, batch=False)
    model = TensorModel(graphs.mean_colour((1, 3, 32, 48)), signature)
    both = plain(1, 4)
    usual = TensorModel(graphs.mean_colour(), graphs.colour_signature(IMAGE)).run([TensorRows((both,), (None,) * 4)])
    assert np.allclose(model.run([TensorRows((both,), (None,) * 4)]).scores, usual.scores)
    with pytest.raises(PermanentError, match="one row at a time"):
        TensorModel(graphs.mean_colour((1, 3, 32, 48)), graphs.colour_signature(IMAGE))


def test_several_inputs_outputs_and_types():
    model = TensorModel(graphs.two_inputs(), graphs.two_signature())
    a, b = np.int64([[1, 2], [3, 2**40]]), np.float16([[0.5], [1.5]])
    assert model.reader.look({"a": a, "b": b}) == 2
    outcome = model.run(model.reader.decode({"a": a, "b": b}))
    assert [int(one["sum"]) for one in outcome.named] == [3, 2**40 + 3]
    assert outcome.named[1]["twice"].dtype == np.float32  # FP16 is not what JSON or gRPC's contents hold
    assert outcome.named[1]["twice"].tolist() == [3.0]
    assert set(outcome.named[0]) == {"sum", "twice"}


def test_a_view_that_is_not_aligned_is_taken():
    model = TensorModel(graphs.two_inputs(), graphs.two_signature())
    body = b"\1" + np.int64([[7, 8]]).tobytes()
    a = np.frombuffer(body, np.int64, 2, 1).reshape(1, 2)
    assert not a.flags.aligned
    outcome = model.run(model.reader.decode({"a": a, "b": np.ones((1, 3), np.float16)}))
    assert int(outcome.named[0]["sum"]) == 15


@pytest.mark.parametrize(
    ("given_", "message", "why"),
    [
        ({"a": np.zeros((1, 2), np.int64)}, "input 'b' is missing", "invalid"),
        (
            {"a": np.zeros((1, 2), np.int64), "b": np.zeros((1, 1), np.float16), "c": np.zeros(1)},
            "unknown input 'c'",
            "invalid",
        ),
        (
            {"a": np.zeros((1, 2), np.float32), "b": np.zeros((1, 1), np.float16)},
            "input 'a': datatype FP32; expected INT64",
            "invalid",
        ),
        (
            {"a": np.zeros((1, 3), np.int64), "b": np.zeros((1, 1), np.float16)},
            "input 'a': shape [1, 3]; expected [-1, 2]",
            "invalid",
        ),
        (
            {"a": np.zeros((2, 2), np.int64), "b": np.zeros((1, 1), np.float16)},
            "input 'b' has 1 rows; the first has 2",
            "invalid",
        ),
        (
            {"a": np.zeros((1, 2), np.int64), "b": np.zeros((1, 0), np.float16)},
            "input 'b': shape [1, 0] is empty",
            "invalid",
        ),
        (
            {"a": [b"x"], "b": np.zeros((1, 1), np.float16)},
            "input 'a' takes a tensor of INT64, not files",
            "unsupported",
        ),
    ],
)
def test_what_does_not_fit_is_named(given_, message, why):
    model = TensorModel(graphs.two_inputs(), graphs.two_signature())
    with pytest.raises(InputError) as raised:
        model.reader.look(given_)
    assert message in raised.value.message
    assert raised.value.why == why


def test_the_row_of_a_bad_file_is_named(colours):
    good, bad = media.file_of(media.picture()), media.file_of(media.picture())[:-200]
    assert colours.reader.look({"image": [good, bad]}) == 2
    with pytest.raises(InputError, match="row 1, input 'image': the PNG image is damaged"):
        colours.reader.decode({"image": [good, bad]})
    with pytest.raises(InputError, match="row 1, input 'image': these bytes are no image"):
        colours.reader.look({"image": [good, b"nothing"]})


def test_limits_hold_for_tensors_too(loudest):
    with pytest.raises(InputError, match="input 'sound': 61 s of sound; at most 60") as raised:
        loudest.reader.look({"sound": np.zeros((1, 61 * 16_000), np.float32)})
    assert raised.value.why == "too_large"
    free = TensorModel(
        graphs.mean_colour(("n", 3, "h", "w")),
        graphs.colour_signature(media.image_input((3, -1, -1), size=None, max_pixels=1000)),
    )
    with pytest.raises(InputError, match="2,500 pixels; at most 1,000") as raised:
        free.reader.look({"image": np.zeros((1, 3, 50, 50), np.uint8)})
    assert raised.value.why == "too_large"


def boxed(**spec: object) -> TensorModel:
    """A graph that finds the same two boxes in every picture."""
    nodes = [
        node("Cast", "image", "real", to=T.FLOAT),
        node("ReduceMean", "real", "mean", axes=[1, 2, 3], keepdims=0),
        node("Mul", "mean zero", "none"),
        node("Reshape", "none column", "rows"),
        node("Add", "rows fixed", "boxes"),
        node("Add", "flat sure", "sure2"),
        node("Reshape", "none flatter", "flat"),
    ]
    nodes = [*nodes[:5], nodes[6], nodes[5]]
    data = graphs.graph(
        nodes,
        [("image", T.UINT8, ["n", 3, 32, 48])],
        [("boxes", T.FLOAT, ["n", 2, 4]), ("sure2", T.FLOAT, ["n", 2])],
        zero=np.float32(0),
        column=np.array([-1, 1, 1], np.int64),
        flatter=np.array([-1, 1], np.int64),
        fixed=np.float32([[[0, 0, 24, 16], [24, 16, 48, 32]]]),
        sure=np.float32([[0.9, 0.6]]),
    )
    signature = Signature(
        task="tensors",
        inputs=(),
        features=(),
        classes=("thing",),
        tensors=Tensors(
            inputs=(IMAGE,),
            outputs=(
                TensorOutput(name="boxes", datatype="FP32", shape=(2, 4)),
                TensorOutput(name="sure2", datatype="FP32", shape=(2,)),
            ),
            detections=Detections(boxes="boxes", scores="sure2", **spec),  # type: ignore[arg-type]
        ),
    )
    return TensorModel(data, signature)


def test_boxes_are_those_of_the_photo_that_was_sent():
    model = boxed()
    photo = media.file_of(media.picture(320, 960))
    rows = model.reader.decode({"image": [photo, media.file_of(media.picture(32, 48))]})
    one, two = model.run(rows).named
    assert one["boxes"].tolist() == [[0, 0, 480, 160], [480, 160, 960, 320]]
    assert two["boxes"].tolist() == [[0, 0, 24, 16], [24, 16, 48, 32]]
    assert one["labels"] == ["thing", "thing"]
    assert set(one) == {"boxes", "scores", "labels", "count"}
    assert model.run(boxed(threshold=0.7).reader.decode({"image": [photo]})).named[0]["count"] == 2
    assert boxed(threshold=0.7).run(rows).named[0]["count"] == 1
    assert boxed(most=1).run(rows).named[0]["scores"].tolist() == [np.float32(0.9)]


def test_a_hook_makes_the_answer():
    def hook(outputs):
        best = outputs["logits"].argmax(axis=1)
        return {"best": best, "said": [f"colour {one}" for one in best], "parts": [{"n": [int(one)]} for one in best]}

    model = TensorModel(graphs.mean_colour(), graphs.colour_signature(IMAGE), hook)
    outcome = model.run([TensorRows((plain(3, 2),), (None, None))])
    assert outcome.scores.shape == (2, 3)
    best = outcome.scores.argmax(axis=1)
    assert [one["said"] for one in outcome.named] == [f"colour {one}" for one in best]
    assert [int(one["best"]) for one in outcome.named] == best.tolist()
    assert outcome.named[0]["pixels"] == 3 * 32 * 48  # a score's model keeps its other outputs


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        (lambda o: 1 / 0, "postprocess(outputs) raised ZeroDivisionError"),
        (lambda o: None, "returned NoneType; expected a dict"),
        (lambda o: {}, "returned dict; expected a dict of arrays"),
        (lambda o: {"x": np.zeros(3)}, "returned 3 values for 'x', and there are 2 rows"),
        (lambda o: {"x": np.float32(3)}, "returned float32 for 'x'; expected an array"),
        (lambda o: {"x": [object(), 1]}, "what JSON cannot hold"),
        (lambda o: {3: [1, 2]}, "an output named 3"),
    ],
)
def test_a_hook_that_goes_wrong_is_named(hook, message):
    model = TensorModel(graphs.mean_colour(), graphs.colour_signature(IMAGE), hook)
    with pytest.raises(PermanentError) as raised:
        model.run([TensorRows((plain(3, 2),), (None, None))])
    assert message in raised.value.message


def changed(**more: object) -> Signature:
    base = graphs.two_signature()
    tensors = base.tensors
    assert isinstance(tensors, Tensors)
    import msgspec

    return msgspec.structs.replace(base, tensors=msgspec.structs.replace(tensors, **more))


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        (changed(inputs=(TensorInput(name="a", datatype="INT64", shape=(2,)),)), "the graph takes an input 'b'"),
        (changed(inputs=(TensorInput(name="x", datatype="INT64", shape=(2,)),)), "the graph has no input 'x'"),
        (
            changed(
                inputs=(
                    TensorInput(name="a", datatype="INT32", shape=(2,)),
                    TensorInput(name="b", datatype="FP16", shape=(-1,)),
                )
            ),
            "input 'a' is INT64 [2] in the graph, and INT32 [2] in the signature",
        ),
        (
            changed(
                inputs=(
                    TensorInput(name="a", datatype="INT64", shape=(-1,)),
                    TensorInput(name="b", datatype="FP16", shape=(-1,)),
                )
            ),
            "input 'a' is INT64 [2] in the graph, and INT64 [-1]",
        ),
        (changed(outputs=(TensorOutput(name="y", datatype="INT64", shape=()),)), "the graph has no output 'y'"),
        (changed(detections=Detections(boxes="twice", scores="no")), "there is no output 'no'"),
    ],
)
def test_a_signature_that_is_not_the_graphs_is_refused(signature, message):
    with pytest.raises(PermanentError) as raised:
        TensorModel(graphs.two_inputs(), signature)
    assert message in raised.value.message


def test_a_warm_up_has_rows_of_every_kind(colours, loudest):
    for model in (colours, loudest, TensorModel(graphs.two_inputs(), graphs.two_signature()), boxed()):
        outcome = model.run([model.zeros()])
        assert outcome.named is not None
