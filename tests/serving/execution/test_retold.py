"""Answers that another process fetches are what was answered, to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving import models

from trimtab.records.blobs import Blobs
from trimtab.serving.execution.questions import Answers
from trimtab.serving.execution.retold import pack, unpack
from trimtab.serving.routing.releases import Fleet, Release, load_fleet


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    blobs = Blobs(Path(tmp_path_factory.mktemp("blobs")))
    routes = models.routes(1, models.route("r1", models.bundle(blobs, models.sigmoid([1.0, 1.0]))))
    return load_fleet(routes, blobs, Fleet(-1, ())).releases[0]


VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.lists(st.floats(-1, 1), max_size=3),
)


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=5), st.integers(0, 3), st.data())
def test_an_answer_comes_back_as_it_was(
    release: Release, scores: list[float], classes: int, data: st.DataObject
) -> None:
    count = len(scores)
    values = np.array(scores, np.float32)
    if classes:
        values = np.repeat(values[:, None], classes, axis=1)
    named = data.draw(
        st.none() | st.lists(st.dictionaries(st.text(max_size=3), VALUES), min_size=count, max_size=count)
    )
    answers = Answers(None, [b'"late"'] * count, [release] * count, named, values)
    if data.draw(st.booleans()):
        answers = Answers(answers.scores, answers.labels, answers.releases, named)
    again = unpack(pack(answers))
    assert (again.scores, again.labels) == (answers.scores, answers.labels)
    assert [one.words for one in again.releases] == [release.words] * count
    assert {(one.told, one.head, one.usual) for one in again.releases} == {(release.told, release.head, release.usual)}
    assert again.named == named
    assert (again.values is None) == (answers.values is None)


def test_outputs_that_are_arrays_keep_their_type(release: Release) -> None:
    named = [{"mask": np.arange(6, dtype=np.uint8).reshape(2, 3), "one": np.float32(0.1)}]
    again = unpack(pack(Answers([b"1"], [b""], [release], named)))
    assert again.named is not None
    (row,) = again.named
    np.testing.assert_array_equal(row["mask"], named[0]["mask"])
    assert row["mask"].dtype == np.uint8
    assert type(row["one"]) is np.float32
    assert row["one"] == np.float32(0.1)
