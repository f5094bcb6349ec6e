"""Small models of images and sounds through the trainer: what `train` is given, what is checked, kept and refused."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
import soundfile
from msgspec import UNSET
from PIL import Image

from trimtab.errors import PermanentError
from trimtab.inference.media_rows import answers, decode, load_tensor_model
from trimtab.records.blobs import Blobs
from trimtab.records.requirement import Requirement, Value
from trimtab.records.tensors import AudioInput, Detections, ImageInput, MediaModel, Recognition, TensorInput, Tensors
from trimtab.training.again.reproduce import reproduce
from trimtab.training.export.media_graph import media_signature, returned_graph
from trimtab.training.job import TrainingJob
from trimtab.training.media.rows import media_rows
from trimtab.training.media.truths import read_truths
from trimtab.training.trainer import Refused, Trained, Trainer

Job = Callable[..., TrainingJob]
START = datetime(2024, 1, 1, tzinfo=UTC)
COLORS = {"red": (220, 30, 30), "green": (30, 220, 30), "blue": (30, 30, 220), "grey": (120, 120, 120)}
PICTURE = TensorInput(name="photo", datatype="UINT8", shape=(3, 8, 8), image=ImageInput(size=(8, 8)))
GRAPH = """
import numpy as np
from onnx import TensorProto, helper, numpy_helper

def made(nodes, outputs, constants, shape=(3, 8, 8), kind=TensorProto.UINT8):
    values = [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()]
    given = helper.make_tensor_value_info("photo", kind, ["n", *shape])
    told = [helper.make_tensor_value_info(n, k, ["n", *s]) for n, k, s in outputs]
    graph = helper.make_graph([helper.make_node(o, i, r, **a) for o, i, r, a in nodes], "g", [given], told, values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model

def colours(weights, bias=0.0):
    '''Mean colours [n, 3] times weights [3, k].'''
    return [
        ("Cast", ["photo"], ["numbers"], {"to": TensorProto.FLOAT}),
        ("ReduceMean", ["numbers"], ["middle"], {"axes": [2, 3], "keepdims": 0}),
        ("MatMul", ["middle", "weights"], ["scaled"], {}),
    ], {"weights": np.asarray(weights, np.float32)}
"""
RECOGNISE = (
    GRAPH
    + """
from trimtab import OnnxModel

def train(train, valid, params):
    names = np.array(train.y)
    enrolled = sorted(set(names) - {"stranger"})
    middles = np.stack([train.x[names == one].mean(axis=(0, 2, 3)) for one in enrolled])
    nodes, constants = colours((middles / np.linalg.norm(middles, axis=1, keepdims=True) ** 2).T)
    graph = made(nodes[:-1] + [("MatMul", ["middle", "weights"], ["similarities"], {})],
                 [("similarities", TensorProto.FLOAT, [len(enrolled)])], constants)
    native = lambda x: x.mean(axis=(2, 3)) @ constants["weights"] + params.get("off", 0.0)
    return OnnxModel(graph, classes=enrolled, threshold=params.get("threshold", 0.9), native=native)
"""
)


def png(color: tuple[int, int, int], dice: np.random.Generator, side: int = 12) -> bytes:
    pixels = np.clip(np.array(color) + dice.normal(0, 8, (side, side, 3)), 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def rows(truths: list[Any], files: list[bytes], name: str = "photo") -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows six hours apart: the first two thirds to train on."""
    count = len(truths)
    at = pl.Series("at", [START + timedelta(hours=6 * n) for n in range(count)], dtype=pl.Datetime("us", "UTC"))
    frame = pl.DataFrame([pl.Series("id", range(count)), at, pl.Series("y", truths), pl.Series(name, files)])
    frame = frame.with_columns(place=pl.when(pl.col("id") % 2 == 0).then(pl.lit("in")).otherwise(pl.lit("out")))
    return frame.head(count * 2 // 3), frame.tail(count - count * 2 // 3)


def people(count: int = 90) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Red, green and blue people, and grey strangers; blue is met in the newest rows only."""
    dice = np.random.default_rng(0)
    names = []
    for row in range(count):
        known = ["red", "green"] if row < count * 2 // 3 else ["red", "green", "blue"]
        names.append(str(dice.choice([*known, "grey"])))
    return rows(["stranger" if n == "grey" else n for n in names], [png(COLORS[n], dice) for n in names])


def required(metric: str, **more: Any) -> Requirement:
    return Requirement(metric=metric, comparison=">=", limit=0.0, **more)


@pytest.fixture
def media_job(job: Job) -> Job:
    def make(source: str, task: str, media: MediaModel, **more: Any) -> TrainingJob:
        return job(source, task=task, label="y", media=media, inputs=(), memory_limit=2.0**31, **more)

    return make


def trained(trainer: Trainer, job: TrainingJob, train: pl.DataFrame, valid: pl.DataFrame) -> Trained:
    result = trainer.train(job, train, valid)
    assert isinstance(result, Trained), result.fact.reason + result.fact.log
    return result


def refused(trainer: Trainer, job: TrainingJob, train: pl.DataFrame, valid: pl.DataFrame) -> str:
    result = trainer.train(job, train, valid)
    assert isinstance(result, Refused)
    return result.fact.reason


def test_who_was_never_enrolled_is_a_stranger(trainer: Trainer, blobs: Blobs, media_job: Job) -> None:
    train, valid = people()
    asked = (required("quality.rank_1"), required("quality.accuracy", by="place", min_rows=5))
    job = media_job(
        RECOGNISE, "recognition", MediaModel(inputs=(PICTURE,)), refit=True, requirements=asked,
        value=Value(correct=1.0, wrong=-9.0, missed=-1.0),
    )  # fmt: skip
    fact = trained(trainer, job, train, valid).fact
    assert fact.metrics["quality.rank_1"].figure == 1.0
    assert fact.metrics["quality.rank_1"].rows == valid.height
    blue = valid.filter(pl.col("y") == "blue").height
    assert blue > 3
    assert fact.evaluated is not None
    assert fact.evaluated.signature.classes == ("green", "red")
    assert fact.bundle.signature.classes == ("blue", "green", "red"), "the shipped model enrols who has a name by now"
    assert fact.metrics["quality.accuracy"].figure == 1.0, "blue people are strangers to the model that is judged"
    assert set(fact.slices) == {"quality.accuracy|place=in", "quality.accuracy|place=out"}
    assert fact.metrics["value.per_1000"].figure == 1000.0
    assert fact.baseline["quality.rank_1"].figure is not None
    assert fact.baseline["quality.accuracy"].figure < 0.7  # type: ignore[operator]
    model = load_tensor_model(blobs, fact.bundle)
    told = answers(model, decode(valid, (PICTURE,), ("id",)).rows())
    assert [one["identity"] for one in told] == valid["y"].to_list()
    again = reproduce(trainer, blobs, fact, train, valid)
    assert again.outcome == "identical"


def test_a_graph_that_is_not_what_it_was_made_of_is_refused(trainer: Trainer, media_job: Job) -> None:
    media = MediaModel(inputs=(PICTURE,))
    said = refused(trainer, media_job(RECOGNISE, "recognition", media, params={"off": 0.5}), *people())
    assert "the graph gives a row other figures by 0.5" in said


WRONG = [
    ("return OnnxModel(graph, classes=enrolled,", "return OnnxModel(graph,", "needs to know who is enrolled"),
    ('threshold=params.get("threshold", 0.9), ', "", "nothing says from which similarity on"),
    ("return OnnxModel(", "return 5 or OnnxModel(", "returned builtins.int; expected an ONNX graph"),
    ('"similarities"', '"alike"', ""),
    ('[("similarities", TensorProto.FLOAT, [len(enrolled)])]', "[]", "the graph has no output"),
]


@pytest.mark.parametrize(("old", "new", "said"), WRONG)
def test_what_a_recogniser_lacks_is_named(old: str, new: str, said: str) -> None:
    """In this process: what `train` returns is read before anything else is done with it."""
    assert old in RECOGNISE
    own: dict[str, Any] = {}
    exec(RECOGNISE.replace(old, new), own)
    media = MediaModel(inputs=(PICTURE,))
    train, _ = people(30)
    given = media_rows(
        train, train["y"].to_list(), media, time=train["at"], own=("id", "at", "y"), key=("id",), checkpoints=""
    )
    assert given.frame.columns == ["place"]
    assert not given.x.flags.writeable  # type: ignore[union-attr]
    if not said:
        found, content = returned_graph(own["train"](given, given, {}))
        tensors = media_signature(found, content, "recognition", media).tensors
        assert isinstance(tensors, Tensors)
        assert isinstance(tensors.recognition, Recognition)
        assert tensors.recognition.similarities == "alike", "the only output is the one"
        return
    with pytest.raises(PermanentError) as error:
        media_signature(*returned_graph(own["train"](given, given, {})), "recognition", media)
    assert said in error.value.message


def test_similarities_are_of_those_enrolled(trainer: Trainer, media_job: Job) -> None:
    source = RECOGNISE.replace("classes=enrolled", "classes=enrolled[:-1]")
    said = refused(trainer, media_job(source, "recognition", MediaModel(inputs=(PICTURE,))), *people())
    assert "[2] a row, and 1 are enrolled" in said


def test_files_and_labels_that_cannot_be_read_name_their_row(trainer: Trainer, media_job: Job) -> None:
    train, valid = people()
    job = media_job(RECOGNISE, "recognition", MediaModel(inputs=(PICTURE,)), versions={"d": "v2"})
    broken = train.with_columns(
        photo=pl.when(pl.col("id") == 3).then(pl.lit(b"\x89PNG\r\n\x1a\n no")).otherwise(pl.col("photo"))
    )
    said = refused(trainer, job, broken, valid)
    assert "id = 3" in said
    assert "damaged" in said
    missing = train.with_columns(photo=pl.when(pl.col("id") == 5).then(None).otherwise(pl.col("photo")))
    with pytest.raises(PermanentError, match="holds no file in the row id = 5"):
        decode(missing, (PICTURE,), ("id",))
    with pytest.raises(PermanentError, match="expected the bytes of files"):
        decode(train.with_columns(photo=pl.lit("a.png")), (PICTURE,), ("id",))
    with pytest.raises(PermanentError, match="expected a text, found int"):
        read_truths(pl.Series("y", [1]), "recognition", ())


SEGMENT = (
    GRAPH
    + """
def train(train, valid, params):
    assert train.x.shape[1:] == (3, 8, 8) and all(mask.shape == (8, 8) for mask in train.y)
    assert train.classes == ("dark", "bright")
    nodes = [
        ("Cast", ["photo"], ["numbers"], {"to": TensorProto.FLOAT}),
        ("ReduceMean", ["numbers"], ["grey"], {"axes": [1], "keepdims": 0}),
        ("Greater", ["grey", "half"], ["over"], {}),
        ("Cast", ["over"], ["mask"], {"to": TensorProto.INT64}),
    ]
    return made(nodes, [("mask", TensorProto.INT64, [8, 8])], {"half": np.float32(128)})
"""
)


def halves(count: int = 40) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Pictures 16 x 16, bright to the right of some column, and masks that say so."""
    dice = np.random.default_rng(1)
    files, masks = [], []
    for _ in range(count):
        bright = np.arange(16)[None, :] >= 2 * int(dice.integers(0, 9))
        mask = np.broadcast_to(bright, (16, 16)).astype(np.uint8)
        for store, pixels in ((files, np.where(mask, 230, 20)[..., None].repeat(3, 2).astype(np.uint8)), (masks, mask)):
            out = io.BytesIO()
            Image.fromarray(pixels).save(out, "PNG")
            store.append(out.getvalue())
    return rows(masks, files)


def test_masks_are_judged_at_the_size_of_the_picture(trainer: Trainer, media_job: Job) -> None:
    media = MediaModel(inputs=(PICTURE,), classes=("dark", "bright"))
    asked = (required("quality.iou", by="class"), required("quality.dice"))
    fact = trained(trainer, media_job(SEGMENT, "segmentation", media, requirements=asked), *halves()).fact
    assert fact.metrics["quality.iou"].figure == 1.0
    assert set(fact.slices) == {"quality.iou|class=dark", "quality.iou|class=bright"}
    assert fact.baseline["quality.iou"].figure < 0.6  # type: ignore[operator]
    with pytest.raises(PermanentError, match="a pixel is 1, and the classes are numbered 0 to 0"):
        read_truths(halves()[0]["y"], "segmentation", ("dark",))


DETECT = (
    GRAPH
    + """
def train(train, valid, params):
    assert train.y[0].corners.shape[1] == 4
    nodes = [
        ("Cast", ["photo"], ["numbers"], {"to": TensorProto.FLOAT}),
        ("ReduceMean", ["numbers"], ["grey"], {"axes": [1, 3], "keepdims": 0}),
        ("ReduceMax", ["grey"], ["most"], {"axes": [1], "keepdims": 1}),
        ("Div", ["most", "full"], ["scores"], {}),
        ("Unsqueeze", ["scores", "last"], ["each"], {}),
        ("Mul", ["each", "nothing"], ["zero"], {}),
        ("Add", ["zero", "box"], ["boxes"], {}),
    ]
    constants = {"full": np.float32(255), "last": np.array([2]), "nothing": np.float32(0),
                 "box": np.float32([[[0.25, 0.25, 0.75, 0.75]]])}
    return made(nodes, [("boxes", TensorProto.FLOAT, [1, 4]), ("scores", TensorProto.FLOAT, [1])], constants)
"""
)


def squares(count: int = 40) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A bright square in the middle of every other picture, which are of several sizes."""
    files, labels = [], []
    for row in range(count):
        side = (16, 24, 40)[row % 3]
        pixels = np.full((side, side, 3), 10, np.uint8)
        there = row % 2 == 0
        if there:
            pixels[side // 4 : side * 3 // 4, side // 4 : side * 3 // 4] = 250
        labels.append(json.dumps([{"label": "square", "box": [0.25, 0.25, 0.75, 0.75]}] if there else []))
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "PNG")
        files.append(out.getvalue())
    return rows(labels, files)


def test_boxes_are_judged_in_pixels_of_each_picture(trainer: Trainer, media_job: Job) -> None:
    detections = Detections(boxes="boxes", scores="scores", relative=True, threshold=0.3)
    media = MediaModel(inputs=(PICTURE,), classes=("square",), detections=detections)
    job = media_job(DETECT, "detection", media, value=Value(correct=1.0, wrong=-1.0, missed=-1.0), baseline="prior")
    fact = trained(trainer, job, *squares()).fact
    for metric in ("mean_average_precision", "average_recall", "precision", "recall", "f1"):
        assert fact.metrics[f"quality.{metric}"].figure == pytest.approx(1.0), metric
    assert fact.metrics["value.per_1000"].figure == pytest.approx(500.0, abs=40)
    assert fact.baseline["quality.recall"].figure == pytest.approx(1.0), "the median box is where they all are"
    assert fact.baseline["quality.precision"].figure == pytest.approx(0.5, abs=0.05)
    outside = pl.Series("y", ['[{"label": "square", "box": [0, 0, 2, 1]}]'])
    with pytest.raises(PermanentError, match="lies outside of its picture"):
        read_truths(outside, "detection", ("square",))


TRANSCRIBE = """
import numpy as np
from onnx import TensorProto, helper, numpy_helper

WORDS = ["low", "high"]

def train(train, valid, params):
    assert isinstance(train.x, list) and train.x[0].ndim == 1
    nodes = [
        helper.make_node("Slice", ["sound", "zero", "end", "axis"], ["before"]),
        helper.make_node("Slice", ["sound", "one", "far", "axis"], ["after"]),
        helper.make_node("Mul", ["before", "after"], ["product"]),
        helper.make_node("Less", ["product", "nothing"], ["crossed"]),
        helper.make_node("Cast", ["crossed"], ["counted"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["counted"], ["crossings"], axes=[1], keepdims=0),
    ]
    constants = {"zero": [0], "one": [1], "end": [-1], "far": [2**31], "axis": [1]}
    values = [numpy_helper.from_array(np.array(v, np.int64), n) for n, v in constants.items()]
    values.append(numpy_helper.from_array(np.float32(0), "nothing"))
    graph = helper.make_graph(nodes, "g",
        [helper.make_tensor_value_info("sound", TensorProto.FLOAT, ["n", "samples"])],
        [helper.make_tensor_value_info("crossings", TensorProto.FLOAT, ["n"])], values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model

def postprocess(outputs):
    return {"text": [WORDS[int(one > 0.15)] for one in outputs["crossings"]]}
"""


def test_sounds_of_any_length_become_text(trainer: Trainer, blobs: Blobs, media_job: Job) -> None:
    files, said = [], []
    for row in range(40):
        pitch = (200, 1500)[row % 2]
        samples = np.sin(2 * np.pi * pitch * np.arange(2000 + 37 * row) / 8000)
        out = io.BytesIO()
        soundfile.write(out, samples, 8000, format="WAV")
        files.append(out.getvalue())
        said.append(("Low.", "high")[row % 2])
    sound = TensorInput(name="sound", datatype="FP32", shape=(-1,), audio=AudioInput(rate=8000))
    job = media_job(TRANSCRIBE, "transcription", MediaModel(inputs=(sound,)), value=Value(correct=2.0))
    train, valid = rows(said, files, name="sound")
    fact = trained(trainer, job, train, valid).fact
    assert fact.metrics["quality.word_error_rate"].figure == 0.0
    assert fact.metrics["value.per_1000"].figure == 2000.0
    assert fact.baseline["quality.word_error_rate"].figure == pytest.approx(0.5, abs=0.05)
    assert fact.bundle.postprocess_code is not UNSET
    told = answers(load_tensor_model(blobs, fact.bundle), decode(valid, (sound,), ("id",)).rows())
    assert [one["text"] for one in told] == [text.lower().strip(".") for text in valid["y"]]
    other = TRANSCRIBE.replace('"text"', '"words"')
    assert "needs 'text' (str)" in refused(
        trainer, media_job(other, "transcription", MediaModel(inputs=(sound,))), train, valid
    )
