"""An offset in the routes is added to the log odds of whatever a binary classifier answers, and to nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from tests.serving import models
from tests.serving.conftest import Make

from trimtab.errors import PermanentError
from trimtab.inference.offset import shifted

ROW = {"distance": 1.0, "carrier": "AA"}


def score(bias: float, offset: float) -> float:
    p = np.array([1 / (1 + np.exp(-bias))])
    return float(shifted(p, offset)[0])


def test_every_release_is_shifted_and_the_decision_follows(make: Make) -> None:
    server = make()
    live = models.bundle(server.blobs, models.sigmoid([0.0, 0.0], -0.3))
    beside = models.bundle(server.blobs, models.sigmoid([0.0, 0.0], 1.0))
    those = models.route("r1", live), models.route("r2", beside, "shadow")
    found = []
    for offset in (0.0, 0.8, -0.5):
        server.route(*those, offset=offset)
        (answer,) = server.ask("POST", "/predict", [ROW])[1]["predictions"]
        found.append((answer["score"], answer["label"]))
    assert [told for told, _ in found] == pytest.approx([score(-0.3, o) for o in (0.0, 0.8, -0.5)], abs=1e-6)
    assert [label for _, label in found] == ["on time", "late", "on time"]
    server.local.stop()
    kept = server.reader().predictions().sort("generation", "release")
    assert kept["generation"].to_list() == [1, 1, 2, 2, 3, 3]
    wanted = [score(bias, offset) for offset in (0.0, 0.8, -0.5) for bias in (-0.3, 1.0)]
    assert kept["score"].to_list() == pytest.approx(wanted, abs=1e-6)


def test_what_is_no_probability_is_not_shifted(make: Make) -> None:
    server = make()
    numbers = models.bundle(server.blobs, models.linear([0.0, 0.0], 7.0), models.signature("regression", classes=()))
    server.route(models.route("r1", numbers), offset=0.8)
    assert server.ask("POST", "/predict", [ROW])[1]["predictions"][0]["score"] == 7.0


def test_an_offset_that_nothing_could_ask_for_changes_nothing(make: Make) -> None:
    server = make()
    made = models.bundle(server.blobs, models.sigmoid([0.0, 0.0], 0.0))
    server.route(models.route("r1", made))
    with pytest.raises(PermanentError, match="shifted by 1000"):
        server.route(models.route("r1", made), offset=1000.0)
    assert server.ask("POST", "/predict", [ROW])[1]["predictions"][0]["score"] == 0.5
