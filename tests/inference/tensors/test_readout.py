"""What outputs are read as: against the textbook, and against a slow and plain suppression of overlaps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trimtab.errors import PermanentError
from trimtab.inference.tensors.placing import Placed
from trimtab.inference.tensors.readout import corners, detect, keep_best, read_out, sigmoid, softmax, unit
from trimtab.records.tensors import Detections, TensorOutput

numbers = st.floats(-1e4, 1e4, width=32)
rows = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=4, max_side=4), elements=numbers)


@given(rows)
def test_softmax_gives_shares(values):
    shares = softmax(values)
    assert shares.dtype == np.float32
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-5)
    assert (shares >= 0).all()
    assert np.array_equal(values.argmax(axis=1), values.argmax(axis=1))
    assert np.allclose(softmax(values + np.float32(16)), shares, atol=1e-2)


def test_softmax_is_that_of_the_textbook():
    found = softmax(np.log(np.array([[1.0, 2.0, 5.0]], np.float16)))
    assert np.allclose(found, [[1 / 8, 2 / 8, 5 / 8]], atol=1e-3)


@given(rows)
def test_sigmoid_is_that_of_the_textbook_and_never_overflows(values):
    with np.errstate(all="raise", under="ignore"):
        found = sigmoid(values)
    assert found.dtype == np.float32
    flat = [1 / (1 + math.exp(-x)) if x > -700 else 0.0 for x in values.ravel().astype(float).tolist()]
    assert np.allclose(found.ravel(), flat, atol=1e-6)


@given(rows)
def test_rows_have_length_one(values):
    lengths = np.sqrt((unit(values).reshape(len(values), -1).astype(float) ** 2).sum(axis=1))
    empty = np.abs(values.reshape(len(values), -1)).max(axis=1) < 1e-15
    assert np.allclose(lengths[~empty], 1, atol=1e-4)
    assert np.isfinite(unit(values)).all()


def test_a_threshold_turns_values_into_a_mask():
    spec = TensorOutput(name="mask", datatype="FP32", shape=(2, 2), apply="sigmoid", threshold=0.5)
    found = read_out(np.array([[[-1.0, 0.0], [2.0, -3.0]]], np.float32), spec)
    assert found.dtype == np.bool_
    assert found.tolist() == [[[False, True], [True, False]]]


def overlap_of(a: list[float], b: list[float]) -> float:
    wide, high = (max(0.0, min(a[2 + k], b[2 + k]) - max(a[k], b[k])) for k in (0, 1))
    shared = wide * high
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0


boxes = st.lists(
    st.tuples(
        st.integers(0, 20),
        st.integers(0, 20),
        st.integers(1, 12),
        st.integers(1, 12),
        st.integers(0, 2),
        st.integers(0, 50),
    ),
    max_size=25,
)


@settings(max_examples=200)
@given(boxes, st.sampled_from([0.1, 0.3, 0.5, 0.9]), st.integers(1, 30))
def test_overlaps_are_suppressed_as_the_plain_way_does(drawn, overlap, most):
    found = np.array([(x, y, x + w, y + h) for x, y, w, h, _, _ in drawn], np.float32).reshape(-1, 4)
    classes = np.array([one[4] for one in drawn], np.int64)
    scores = np.array([one[5] / 50 for one in drawn], np.float32)
    plain: list[int] = []
    for place in sorted(range(len(drawn)), key=lambda p: (-scores[p], p)):
        rivals = [kept for kept in plain if classes[kept] == classes[place]]
        if all(overlap_of(found[kept].tolist(), found[place].tolist()) <= overlap + 1e-7 for kept in rivals):
            plain.append(place)
    assert keep_best(found, scores, classes, overlap, most).tolist() == plain[:most]


def test_forms_of_boxes():
    assert corners(np.float32([[10, 20, 30, 50]]), "xyxy").tolist() == [[10, 20, 30, 50]]
    assert corners(np.float32([[10, 20, 30, 50]]), "xywh").tolist() == [[10, 20, 40, 70]]
    assert corners(np.float32([[25, 45, 30, 50]]), "cxcywh").tolist() == [[10, 20, 40, 70]]


@pytest.mark.parametrize("form", ["xyxy", "cxcywh"])
@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("own_classes", [False, True])
def test_boxes_are_told_in_pixels_of_what_was_sent(form, relative, own_classes):
    """A picture of 400 x 200 lies on a tensor of 64 x 64, letterboxed: 64 x 32, 16 from the top."""
    corner = np.float32([[8, 24, 24, 40], [9, 24, 24, 40], [0, 16, 64, 48], [40, 20, 50, 30]])
    scores = np.float32([0.9, 0.8, 0.6, 0.1])
    given_ = (
        corner
        if form == "xyxy"
        else np.concatenate([(corner[:, :2] + corner[:, 2:]) / 2, corner[:, 2:] - corner[:, :2]], axis=1)
    )
    if relative:
        given_ = given_ / 64
    outputs = {"b": given_[None].astype(np.float32), "s": scores[None], "c": np.int64([[1, 1, 0, 0]])}
    if not own_classes:
        table = np.zeros((1, 4, 2), np.float32)
        table[0, [0, 1, 2, 3], [1, 1, 0, 0]] = scores
        outputs["s"] = table
    spec = Detections(
        boxes="b", scores="s", classes="c" if own_classes else "", form=form, relative=relative, threshold=0.3
    )
    (found,) = detect(outputs, spec, ("screen", "crack"), (64, 64), [Placed(0.16, 0.16, 0, 16, 400, 200)])
    assert found["labels"] == ["crack", "screen"]
    assert np.allclose(found["scores"], [0.9, 0.6])
    assert np.allclose(found["boxes"], [[50, 50, 150, 150], [0, 0, 400, 200]], atol=1e-3)
    assert found["count"] == 2
    (sent_as_tensor,) = detect(outputs, spec, (), (64, 64), [None])
    assert np.allclose(sent_as_tensor["boxes"], corner[[0, 2]], atol=1e-3)
    assert sent_as_tensor["labels"].tolist() == [1, 0]


def test_nothing_found_is_an_answer():
    outputs = {"b": np.zeros((2, 5, 4), np.float32), "s": np.zeros((2, 5), np.float32)}
    found = detect(outputs, Detections(boxes="b", scores="s"), ("x",), (8, 8), [None, None])
    assert [(one["boxes"].shape, one["labels"], int(one["count"])) for one in found] == [((0, 4), [], 0)] * 2


def test_outputs_that_are_no_boxes_are_refused():
    outputs = {"b": np.zeros((1, 5, 3), np.float32), "s": np.zeros((1, 5), np.float32)}
    with pytest.raises(PermanentError, match="no detections"):
        detect(outputs, Detections(boxes="b", scores="s"), (), (8, 8), [None])
